import GDNFormats
import GDNTensor

/// The files that a path stands for: itself, or everything readable below a folder.
enum FileList {
    struct Entry: Equatable {
        let path: String
        let format: InputFormat
        let bytes: Int
    }

    /// Names a file's format by its ending; nil for other endings.
    static func format(of path: String) -> InputFormat? {
        let name = path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...]
        switch name.lastIndex(of: ".").map({ name[$0...].lowercased() }) {
        case ".jsonl", ".ndjson": return .lines
        case ".txt", ".text", ".md": return .text
        default: return nil
        }
    }

    /// Lists the files in the order of their paths' bytes. A path with `*`, `?` or `[` that is not there itself stands for
    /// all files that fit it, as in a shell. A file named directly is text whatever its ending, unless it
    /// is JSON lines; in a folder other endings and names that begin with a dot are left out. Links to folders are
    /// not followed.
    /// - Throws: `FormatError` for what cannot be read, `DataError` for a folder with nothing to read.
    static func files(at path: String, ignored: inout Int) throws -> [Entry] {
        var status = stat()
        guard stat(path, &status) == 0 else {
            let code = errno
            let matches = path.contains { "*?[".contains($0) } ? matches(path) : []
            guard !matches.isEmpty else { throw FormatError.system("stat", file: path, code) }
            return try matches.flatMap { try files(at: $0, ignored: &ignored) }
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            return [Entry(path: path, format: format(of: path) ?? .text, bytes: Int(status.st_size))]
        }
        var entries: [Entry] = []
        try collect(path, into: &entries, ignored: &ignored)
        guard !entries.isEmpty else {
            throw DataError(
                path, "holds no .txt, .text, .md, .jsonl or .ndjson file",
                advice: "name a folder with such files, or a file directly")
        }
        return entries.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    }

    private static func matches(_ pattern: String) -> [String] {
        var result = glob_t()
        defer { globfree(&result) }
        guard glob(pattern, GLOB_NOSORT, nil, &result) == 0 else { return [] }
        return (0..<Int(result.gl_pathc))
            .compactMap { result.gl_pathv[$0].map { String(cString: $0) } }
            .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    private static func collect(_ folder: String, into entries: inout [Entry], ignored: inout Int) throws {
        guard let stream = opendir(folder) else { throw FormatError.system("opendir", file: folder) }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard !name.hasPrefix(".") else { continue }
            let path = folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
            var (link, status) = (stat(), stat())
            guard lstat(path, &link) == 0, stat(path, &status) == 0 else {
                ignored += 1
                continue
            }
            if link.st_mode & S_IFMT == S_IFDIR {
                try collect(path, into: &entries, ignored: &ignored)
            } else if status.st_mode & S_IFMT == S_IFREG, let format = format(of: name) {
                entries.append(Entry(path: path, format: format, bytes: Int(status.st_size)))
            } else {
                ignored += 1
            }
        }
    }
}
