import GDNFormats

/// `gdn_tokenizer.json`: a tokenizer beside the model it belongs to.
///
///     {"format": "gdn-tokenizer", "version": 1, "type": "byte", "vocabulary_size": 257, "end_of_document": 256}
///
/// `type` says which tokenizer the other keys belong to.
public enum TokenizerFile {
    /// The file's name inside a model folder.
    public static let name = "gdn_tokenizer.json"

    /// Writes the file of a tokenizer into a folder, whole or not at all.
    /// - Throws: `FormatError` when it cannot be written.
    public static func save(_ tokenizer: any Tokenizer, in folder: String) throws {
        let text = JSONValue.object(tokenizer.configuration).text(indented: true) + "\n"
        try OutputFile.replace("\(folder)/\(name)") { try $0.write(Array(text.utf8)) }
    }

    /// Reads the tokenizer of a folder.
    /// - Throws: `FormatError` when there is none, or it is of a kind or version unknown here.
    public static func load(from folder: String) throws -> any Tokenizer {
        let path = "\(folder)/\(name)"
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
        default: throw refuse("type must be \"byte\", it is \(configuration["type"]?.text() ?? "absent")")
        }
    }
}
