import GDNTensor

/// Files of the kernel cache. The cache is a convenience: what cannot be read or written is compiled again.
enum CacheFile {
    /// The bytes of a file, or nil when there is none.
    static func read(_ path: String) -> [UInt8]? {
        guard let file = fopen(path, "rb") else { return nil }
        defer { fclose(file) }
        fseek(file, 0, SEEK_END)
        let size = ftell(file)
        guard size > 0 else { return nil }
        rewind(file)
        var bytes = [UInt8](repeating: 0, count: size)
        return fread(&bytes, 1, size, file) == size ? bytes : nil
    }

    /// Writes a file under a temporary name and renames it, so that no reader sees half a file.
    static func write(_ bytes: [UInt8], to path: String) {
        makeFolder(path)
        var temporary = Array("\(path).XXXXXX".utf8CString)
        let descriptor = mkstemp(&temporary)
        guard descriptor >= 0 else { return }
        let error = bytes.withUnsafeBytes { writeAll($0, to: descriptor) }
        close(descriptor)
        if error != 0 || rename(temporary, path) != 0 { unlink(temporary) }
    }

    private static func makeFolder(_ path: String) {
        var position = path.startIndex
        while let slash = path[position...].dropFirst().firstIndex(of: "/") {
            mkdir(String(path[..<slash]), 0o755)
            position = slash
        }
    }
}
