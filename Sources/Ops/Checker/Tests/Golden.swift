import GDNFormats
import GDNTensor
import Testing

/// A fixture of `Tests/Fixtures/golden`: arrays by name, computed elsewhere in double precision.
struct Golden {
    let file: SafetensorsFile

    /// Opens e.g. `ops/rmsnorm_plain`.
    init(_ name: String) throws {
        let parts = #filePath.split(separator: "/")
        let package = parts.dropLast(parts.count - (try #require(parts.lastIndex(of: "Sources"))))
        file = try SafetensorsFile("/\(package.joined(separator: "/"))/Tests/Fixtures/golden/\(name).safetensors")
    }

    var names: [String] { file.names }

    func has(_ name: String) -> Bool { file[name] != nil }

    func shape(_ name: String) throws -> Shape { Shape(try file.entry(name).shape) }

    /// Elements of a floating-point array, row-major.
    func floats(_ name: String) throws -> [Float] { try file.floats(of: name) }

    /// Elements of an integer array (I64 or I32 in the file), row-major.
    func integers(_ name: String) throws -> [Int32] { try file.integers(of: name) }
}

/// ‖actual − expected‖ / ‖expected‖, the measure in which the fixtures' tolerances are given; absolute where the
/// expected values are all zero, infinite when the counts differ or anything is not finite.
func relativeError(_ actual: [Float], _ expected: [Float]) -> Double {
    guard actual.count == expected.count else { return .infinity }
    var error = 0.0
    var scale = 0.0
    for (a, b) in zip(actual, expected) {
        error += (Double(a) - Double(b)) * (Double(a) - Double(b))
        scale += Double(b) * Double(b)
    }
    let ratio = scale > 0 ? (error / scale).squareRoot() : error.squareRoot()
    return ratio.isFinite ? ratio : .infinity
}

@Suite struct GoldenTests {
    @Test func fixtureOpens() throws {
        let golden = try Golden("ops/cross_entropy_ignore_index")
        #expect(try golden.shape("in.logits") == [24, 101])
        #expect(try golden.floats("in.logits").count == 24 * 101)
        #expect(try golden.integers("in.targets").contains(-100))
        #expect(relativeError([1, 2], [1, 2]) == 0)
        #expect(relativeError([.nan], [1]) == .infinity)
        #expect(relativeError([0.1, 0], [0, 0]) == Double(Float(0.1)))
    }
}
