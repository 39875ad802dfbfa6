import GDNFormats
import GDNTensor

/// A folder of a test's own, removed with everything in it when the test ends.
package final class TemporaryFolder: Sendable {
    /// Its path.
    package let root: String

    /// Makes a folder under /tmp.
    package init() {
        var template = Array("/tmp/gdn-test-XXXXXX".utf8CString)
        guard let path = mkdtemp(&template) else { preconditionFailure("no folder can be made under /tmp") }
        root = String(cString: path)
    }

    deinit {
        Self.remove(root)
    }

    /// The path of a file of this name.
    package func path(_ name: String) -> String { "\(root)/\(name)" }

    /// Writes a file, without waiting for the disk.
    @discardableResult
    package func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        // Some file systems flush a file that was emptied and filled again; a new file spares thousands of writes that.
        unlink(path(name))
        let file = try OutputFile(path(name))
        try file.write(bytes)
        return path(name)
    }

    /// Writes a file.
    @discardableResult
    package func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    /// Makes a folder in it.
    @discardableResult
    package func makeFolder(_ name: String) -> String {
        mkdir(path(name), 0o755)
        return path(name)
    }

    /// The bytes of any file.
    package static func read(_ path: String) throws -> [UInt8] {
        let file = try MappedFile(path)
        return file.read(0..<file.bytes.count) { Array($0) }
    }

    /// A file of `Tests/Fixtures`.
    package static func fixture(_ name: String) -> String {
        let tests = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
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
