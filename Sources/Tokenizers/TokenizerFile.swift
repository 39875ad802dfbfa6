import GDNFormats
import GDNTensor

/// The tokenizer beside the model it belongs to, in the form it was published in, or as `gdn_tokenizer.json`.
///
///     {"format": "gdn-tokenizer", "version": 1, "type": "byte", "vocabulary_size": 257, "end_of_document": 256}
///
/// `type` says which tokenizer the other keys belong to.
public enum TokenizerFile {
    /// The file's name inside a model folder.
    public static let name = "gdn_tokenizer.json"

    /// Writes the files of a tokenizer into a folder, each whole or not at all.
    /// - Throws: `FormatError` when they cannot be written.
    public static func save(_ tokenizer: any Tokenizer, in folder: String) throws {
        for file in tokenizer.files {
            try OutputFile.replace("\(folder)/\(file.name)") { try $0.write(file.bytes) }
        }
    }

    /// Reads the tokenizer of a folder, or a tokenizer's file.
    ///
    /// In a folder the first of these counts: `gdn_tokenizer.json`, `tokenizer.json`, `tokenizer.model`, `*.tiktoken`.
    /// - Throws: `FormatError` when there is none, or it is of a kind or version unknown here.
    public static func load(from path: String) throws -> any Tokenizer {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return try load(file: path) }
        let folder = path.hasSuffix("/") ? String(path.dropLast()) : path
        for name in [name, BytePairTokenizer.jsonName, "tokenizer.model"] where access("\(folder)/\(name)", R_OK) == 0 {
            return try load(file: "\(folder)/\(name)")
        }
        let ranks = names(in: folder).filter { $0.hasSuffix(".tiktoken") }.sorted()
        guard let first = ranks.first else {
            throw FormatError(
                file: folder, rule: "holds no tokenizer",
                advice: "put gdn_tokenizer.json, tokenizer.json, tokenizer.model or a .tiktoken file there")
        }
        guard ranks.count == 1 else {
            throw FormatError(
                file: folder, rule: "holds several tokenizers: \(ranks.joined(separator: ", "))",
                advice: "name the file")
        }
        return try load(file: "\(folder)/\(first)")
    }

    /// Reads a file by its name and what is in it.
    private static func load(file path: String) throws -> any Tokenizer {
        let file = try MappedFile(path)
        if path.hasSuffix(".model"), !isRankFile(file) {
            throw FormatError(
                file: path, rule: "SentencePiece models cannot be read yet",
                advice: "use the tokenizer.json of the model")
        }
        if path.hasSuffix(".tiktoken") || path.hasSuffix(".model") { return try BytePairTokenizer(tiktoken: path) }
        return hasModel(file) ? try BytePairTokenizer(json: path) : try load(configuration: path)
    }

    /// Whether a file is an object with a key `model`, as tokenizer.json has it.
    private static func hasModel(_ file: MappedFile) -> Bool {
        file.read(0..<file.bytes.count) { bytes in
            var (text, found) = (JSONText(bytes, file: file.path), false)
            try? text.object { key, text in
                found = found || key.elementsEqual("model".utf8)
                try text.skip()
            }
            return found
        }
    }

    /// Whether a file begins with a line of base64 and a number.
    private static func isRankFile(_ file: MappedFile) -> Bool {
        let line = file.bytes.prefix(256).prefix { $0 != 0x0a }
        let digits = line.reversed().prefix { (0x30...0x39).contains($0) || $0 == 0x0d }
        let head = line.dropLast(digits.count)
        return digits.count > 0 && head.last == 0x20 && head.count > 1
            && head.dropLast().allSatisfy { byte in
                byte < 0x80 && (Character(Unicode.Scalar(byte)).isLetter || Character(Unicode.Scalar(byte)).isNumber)
                    || "+/=".utf8.contains(byte)
            }
    }

    private static func load(configuration path: String) throws -> any Tokenizer {
        let refuse = { (rule: String) in
            FormatError(file: path, rule: rule, advice: "take the file from the checkpoint it belongs to")
        }
        guard let configuration = try JSONValue(contentsOf: path).object,
            configuration["format"] == .string("gdn-tokenizer")
        else { throw refuse("must be an object with format \"gdn-tokenizer\"") }
        guard configuration["version"] == .integer(1) else {
            throw refuse("has version \(configuration["version"]?.text() ?? "none"), this program reads version 1")
        }
        switch configuration["type"]?.string {
        case "byte": return try ByteTokenizer(configuration, file: path)
        case "tiktoken": return try BytePairTokenizer(tiktoken: configuration, file: path)
        default:
            throw refuse("type must be \"byte\" or \"tiktoken\", it is \(configuration["type"]?.text() ?? "absent")")
        }
    }

    private static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { names.append(String(cString: $0)) }
            }
        }
        return names
    }
}
