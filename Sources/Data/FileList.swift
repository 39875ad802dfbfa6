import GDNFormats
import GDNTensor

/// The files that a path stands for: itself, or everything readable below a folder.
enum FileList {
    /// How a file is stored, as its name says.
    struct Kind: Equatable {
        let format: InputFormat
        let compression: Compression
    }

    struct Entry: Equatable {
        let path: String
        /// Nil when only the bytes can tell (standard input).
        let kind: Kind?
        let bytes: Int
    }

    /// What a folder is searched for, for people.
    private static let endings =
        ".txt, .text, .md, .jsonl, .ndjson (these also as .gz and .zst), .json.gz, .json.zst or .parquet"

    /// Names a file's kind by its ending; nil for other endings.
    static func kind(of path: String) -> Kind? {
        let (name, compression) = uncompressed(path)
        switch ending(of: name) {
        case ".jsonl", ".ndjson": return Kind(format: .lines, compression: compression)
        // Compressed, they are JSON lines in every collection that has them.
        case ".json" where compression != .plain: return Kind(format: .lines, compression: compression)
        case ".txt", ".text", ".md": return Kind(format: .text, compression: compression)
        case ".parquet" where compression == .plain: return Kind(format: .parquet, compression: .plain)
        default: return nil
        }
    }

    /// The name without the ending of a compressed file, and what that ending says.
    private static func uncompressed(_ path: String) -> (Substring, Compression) {
        let ending = ending(of: path[...])
        switch ending {
        case ".gz", ".gzip": return (path.dropLast(ending.count), .gzip)
        case ".zst", ".zstd": return (path.dropLast(ending.count), .zstandard)
        default: return (path[...], .plain)
        }
    }

    /// From the last dot of the file's name on, in small letters; empty without one.
    private static func ending(of path: Substring) -> String {
        let name = path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...]
        return name.lastIndex(of: ".").map { name[$0...].lowercased() } ?? ""
    }

    /// Lists the files in the order of their paths' bytes. `-` is standard input. A path with `*`, `?` or `[` that is not there itself stands for
    /// all files that fit it, as in a shell. A file named directly is text whatever its ending, unless
    /// that is one of another kind; in a folder other endings and names that begin with a dot are left out. Links to folders are
    /// not followed.
    /// - Throws: `FormatError` for what cannot be read, `DataError` for a folder with nothing to read.
    static func files(at path: String, ignored: inout Int) throws -> [Entry] {
        if path == InputFile.standardInput { return [Entry(path: path, kind: nil, bytes: 0)] }
        var status = stat()
        guard stat(path, &status) == 0 else {
            let code = errno
            let matches = path.contains { "*?[".contains($0) } ? matches(path) : []
            guard !matches.isEmpty else { throw FormatError.system("stat", file: path, code) }
            return try matches.flatMap { try files(at: $0, ignored: &ignored) }
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            return [
                Entry(
                    path: path, kind: kind(of: path) ?? Kind(format: .text, compression: uncompressed(path).1),
                    bytes: Int(status.st_size))
            ]
        }
        var entries: [Entry] = []
        try collect(path, into: &entries, ignored: &ignored)
        guard !entries.isEmpty else {
            throw DataError(
                path, "holds no file that ends with \(endings)",
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
            } else if status.st_mode & S_IFMT == S_IFREG, let kind = kind(of: name) {
                entries.append(Entry(path: path, kind: kind, bytes: Int(status.st_size)))
            } else {
                ignored += 1
            }
        }
    }
}
