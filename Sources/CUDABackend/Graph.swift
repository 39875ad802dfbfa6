import GDNTensor

/// Work recorded once and launched as one.
///
/// Addresses are those of the recording: tensors that the work reads and writes must stay alive, and memory that was
/// allocated while recording belongs to the graph.
package final class Graph: @unchecked Sendable {
    private let owner: CUDABackend
    private let executable: Driver.Handle

    fileprivate init(_ owner: CUDABackend, _ executable: Driver.Handle) {
        self.owner = owner
        self.executable = executable
    }

    deinit {
        _ = owner.driver.contextSetCurrent(owner.context)
        _ = owner.driver.graphExecDestroy(executable)
    }

    /// Launches the recorded work.
    package func launch() throws {
        try owner.activate()
        try owner.driver.check(owner.driver.graphLaunch(executable, owner.stream), "launching a graph")
    }
}

extension CUDABackend {
    /// Records the work that `body` gives to the device, without running it.
    package func capture(_ body: () throws -> Void) throws -> Graph {
        try activate()
        try driver.check(driver.streamBeginCapture(stream, 1), "recording a graph")
        var graph: Driver.Handle?
        do {
            try body()
        } catch {
            _ = driver.streamEndCapture(stream, &graph)
            if let graph { _ = driver.graphDestroy(graph) }
            throw error
        }
        try driver.check(driver.streamEndCapture(stream, &graph), "recording a graph")
        let recorded = try require(graph, "graph")
        defer { _ = driver.graphDestroy(recorded) }
        var executable: Driver.Handle?
        try driver.check(driver.graphInstantiate(&executable, recorded, 0), "preparing a graph")
        return Graph(self, try require(executable, "graph"))
    }

    /// Milliseconds the device takes for the work `body` gives it, by events on the stream.
    package func milliseconds(_ body: () throws -> Void) throws -> Double {
        try activate()
        let start = try event()
        let end = try event()
        defer { for event in [start, end] { _ = driver.eventDestroy(event) } }
        try driver.check(driver.eventRecord(start, stream), "recording an event")
        try body()
        try driver.check(driver.eventRecord(end, stream), "recording an event")
        try driver.check(driver.eventSynchronize(end), "work on cuda:\(deviceIndex)")
        var elapsed: Float = 0
        try driver.check(driver.eventElapsedTime(&elapsed, start, end), "reading events")
        return Double(elapsed)
    }

    func event() throws -> Driver.Handle {
        var event: Driver.Handle?
        try driver.check(driver.eventCreate(&event, 0), "creating an event")
        return try require(event, "event")
    }
}
