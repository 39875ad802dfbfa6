import GDNTensor

/// What the device spent its time on, by kernel and by shape of matrix product.
package struct ProfileRow: Sendable, Codable {
    /// The kernel, or `product M×N×K` with the dtype of the result.
    package var name: String
    /// How often it ran.
    package var calls: Int
    /// Time of all calls, by events around each.
    package var milliseconds: Double
    /// Sizes of all tensors it was given, over all calls: what it reads and writes when it touches each once.
    package var bytes: Double
    /// Floating-point operations of matrix products; 0 for kernels.
    package var flops: Double
}

/// Events around everything that is put on the stream.
final class Profile {
    struct Span {
        var name: String
        var start: Driver.Handle
        var end: Driver.Handle
        var bytes: Int
        var flops: Double
    }
    var spans: [Span] = []
}

extension CUDABackend {
    /// Runs `body` and tells what its kernels and products took, the longest first. Slower than without.
    package func profile(_ body: () throws -> Void) throws -> [ProfileRow] {
        let profile = Profile()
        self.profile = profile
        defer {
            self.profile = nil
            for span in profile.spans {
                _ = driver.eventDestroy(span.start)
                _ = driver.eventDestroy(span.end)
            }
        }
        try body()
        try synchronize()
        var rows: [String: ProfileRow] = [:]
        for span in profile.spans {
            var elapsed: Float = 0
            try driver.check(driver.eventElapsedTime(&elapsed, span.start, span.end), "reading events")
            var row = rows[span.name] ?? ProfileRow(name: span.name, calls: 0, milliseconds: 0, bytes: 0, flops: 0)
            row.calls += 1
            row.milliseconds += Double(elapsed)
            row.bytes += Double(span.bytes)
            row.flops += span.flops
            rows[span.name] = row
        }
        return rows.values.sorted { ($0.milliseconds, $0.name) > ($1.milliseconds, $1.name) }
    }

    /// Puts work on the stream, between two events when a profile is being taken.
    func timed(
        _ name: @autoclosure () -> String, bytes: @autoclosure () -> Int, flops: Double = 0, _ launch: () throws -> Void
    ) throws {
        guard let profile else { return try launch() }
        let (start, end) = (try event(), try event())
        profile.spans.append(Profile.Span(name: name(), start: start, end: end, bytes: bytes(), flops: flops))
        try driver.check(driver.eventRecord(start, stream), "recording an event")
        try launch()
        try driver.check(driver.eventRecord(end, stream), "recording an event")
    }
}
