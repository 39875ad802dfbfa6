import GDNFormats
import GDNTensor
import Testing

/// A folder of a test's own, removed with everything in it when the test ends.
final class TemporaryFolder: Sendable {
    let root: String

    init() {
        var template = Array("/tmp/gdn-test-XXXXXX".utf8CString)
        root = mkdtemp(&template).map { String(cString: $0) } ?? "/tmp"
    }

    deinit {
        guard root != "/tmp" else { return }
        Self.remove(root)
    }

    func path(_ name: String) -> String { "\(root)/\(name)" }

    @discardableResult
    func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let file = try OutputFile(path(name))
        try file.write(bytes)
        try file.finish()
        return path(name)
    }

    @discardableResult
    func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    func makeFolder(_ name: String) { mkdir(path(name), 0o755) }

    func read(_ path: String) throws -> [UInt8] {
        let file = try MappedFile(path)
        return file.read(0..<file.bytes.count) { Array($0) }
    }

    /// A file of `Tests/Fixtures`.
    static func fixture(_ name: String, from source: String = #filePath) -> String {
        let tests = source.split(separator: "/").dropLast(2).joined(separator: "/")
        return "/\(tests)/Fixtures/\(name)"
    }

    private static func remove(_ path: String) {
        if let folder = opendir(path) {
            while let entry = readdir(folder) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name != ".", name != ".." { remove("\(path)/\(name)") }
            }
            closedir(folder)
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}
