import ArgumentParser
import GatedDeltaNet

/// `gdn tokenizer`: text to tokens and back.
struct TokenizerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer", abstract: "Encode and decode text with a tokenizer, show what it is, or train one.",
        subcommands: [
            TokenizerEncode.self, TokenizerDecode.self, TokenizerInspect.self, TokenizerTrain.self,
            TokenizerTemplate.self,
        ])
}

/// The tokenizer that a command works with.
struct TokenizerOption: ParsableArguments {
    @Option(
        help: "byte, a folder, or a file: gdn_tokenizer.json, tokenizer.json, tokenizer.model, ranks of tiktoken.")
    var tokenizer: String

    @Option(help: "How text is cut into words, for a rank file of tiktoken whose name does not tell.")
    var pattern: String?

    func load() throws -> any Tokenizer {
        if let pattern { return try BytePairTokenizer(tiktoken: tokenizer, pattern: pattern) }
        return tokenizer == "byte" ? try ByteTokenizer() : try TokenizerFile.load(from: tokenizer)
    }
}

/// `gdn tokenizer encode`
struct TokenizerEncode: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "encode", abstract: "Write the tokens of texts.",
        discussion: """
            Each text gives one line with a list of tokens; with --binary a 32-bit number of tokens and the tokens, 32 \
            bits each, little-endian. Bytes that are no UTF-8 count as U+FFFD.
            """)

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, lines, jsonl }

    @OptionGroup var option: TokenizerOption

    @Option(help: "What a file holds: one text, a text in each line, or JSON lines (the default for .jsonl).")
    var format: Format?

    @Option(help: "JSON lines: the key of the text.")
    var field = "text"

    @Option(help: "Threads; as many as processors when not given.")
    var threads: Int?

    @Flag(name: .customLong("no-special"), help: "Special tokens in the text are text like any other.")
    var asText = false

    @Flag(help: "Put around each text what the model expects there, e.g. a token for its beginning.")
    var frame = false

    @Flag(help: "Write numbers of 32 bits instead of lines.")
    var binary = false

    @Flag(help: "Write the speed to standard error; reading and writing do not count.")
    var speed = false

    @Option(help: "File to write; standard output when not given.")
    var output: String?

    @Argument(help: "Files; standard input when there are none.")
    var files: [String] = []

    func validate() throws {
        if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
    }

    func run() throws {
        let tokenizer = try option.load()
        let sink = try ByteSink(output)
        for path in files.isEmpty ? ["-"] : files {
            try TextSource(path).read { bytes in
                let texts = try texts(of: bytes, path)
                try texts.withSlices { slices in
                    let clock = ContinuousClock.now
                    let tokens = tokenizer.encode(
                        slices, specialTokens: asText ? .asText : .recognised,
                        threads: threads ?? processorCount())
                    if speed { note(slices, tokens, ContinuousClock.now - clock) }
                    try write(tokens, frame ? tokenizer.frame : TokenFrame(), to: sink)
                }
            }
        }
    }

    private func note(_ texts: [UnsafeRawBufferPointer], _ tokens: [[Int32]], _ time: Duration) {
        let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) / 1e18
        let megabytes = Double(texts.reduce(0) { $0 + $1.count }) / 1e6
        let count = tokens.reduce(0) { $0 + $1.count }
        Terminal.note("\(count) tokens, \(megabytes) MB, \(seconds) s, \(Readable.number(megabytes / seconds)) MB/s")
    }

    private func texts(of bytes: UnsafeRawBufferPointer, _ path: String) throws -> TextList {
        switch format ?? (path.hasSuffix(".jsonl") ? .jsonl : .text) {
        case .text: return TextList(bytes, [0..<bytes.count])
        case .lines: return TextList(bytes, TextList.lines(bytes))
        case .jsonl:
            return TextList(
                try TextList.lines(bytes).enumerated().filter { !$1.isEmpty }.map { number, line in
                    let part = "line \(number + 1)"
                    let value = try JSONValue(
                        parsing: UnsafeRawBufferPointer(rebasing: bytes[line]), file: path, part: part)
                    guard let text = value[field]?.string else {
                        throw FormatError(
                            file: path, part: part, rule: "has no text \"\(field)\"", advice: "name it with --field")
                    }
                    return Array(text.utf8)
                })
        }
    }

    private func write(_ tokens: [[Int32]], _ frame: TokenFrame, to sink: ByteSink) throws {
        var buffer: [UInt8] = []
        for list in tokens {
            let whole = frame.prefix + list + frame.suffix
            if binary {
                for number in [Int32(whole.count)] + whole {
                    withUnsafeBytes(of: number.littleEndian) { buffer += $0 }
                }
            } else {
                buffer += "[".utf8
                for (index, token) in whole.enumerated() {
                    if index > 0 { buffer.append(UInt8(ascii: ",")) }
                    buffer += String(token).utf8
                }
                buffer += "]\n".utf8
            }
            if buffer.count > 1 << 20 {
                try sink.write(buffer)
                buffer.removeAll(keepingCapacity: true)
            }
        }
        try sink.write(buffer)
    }
}

/// `gdn tokenizer decode`
struct TokenizerDecode: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode", abstract: "Write the texts of tokens.",
        discussion: "Reads lines as `gdn tokenizer encode` writes them: [1, 2, 3]. Each gives a line.")

    @OptionGroup var option: TokenizerOption

    @Flag(help: "Leave special tokens out.")
    var skipSpecial = false

    @Flag(help: "Write each text as a JSON string, so that newlines in it stay apart from those between texts.")
    var json = false

    @Argument(help: "Files; standard input when there are none.")
    var files: [String] = []

    func run() throws {
        let tokenizer = try option.load()
        for path in files.isEmpty ? ["-"] : files {
            try TextSource(path).read { bytes in
                for (number, line) in TextList.lines(bytes).enumerated() where !line.isEmpty {
                    let part = "line \(number + 1)"
                    let value = try JSONValue(
                        parsing: UnsafeRawBufferPointer(rebasing: bytes[line]), file: path, part: part)
                    let tokens = value.array?.compactMap { $0.integer.flatMap { Int32(exactly: $0) } }
                    guard let tokens, tokens.count == value.array?.count else {
                        throw FormatError(
                            file: path, part: part, rule: "must be a list of tokens", advice: "write [1, 2, 3]")
                    }
                    let text = skipSpecial ? tokenizer.decode(tokens) : tokenizer.decodeWithSpecialTokens(tokens)
                    try Terminal.write((json ? JSONValue.string(text).text() : text) + "\n")
                }
            }
        }
    }
}

/// `gdn tokenizer inspect`
struct TokenizerInspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect", abstract: "Show kind, size, special tokens, and how a text is cut.")

    @OptionGroup var option: TokenizerOption

    @Option(help: "A text to cut.")
    var text: String?

    func run() throws {
        let tokenizer = try option.load()
        for (key, value) in tokenizer.summary { try Terminal.write("\(key): \(value)\n") }
        guard let text else { return }
        if let pairs = tokenizer as? BytePairTokenizer {
            let pieces = pairs.pieces(of: Array(text.utf8), specialTokens: .recognised)
            try Terminal.write(
                "pieces: \(pieces.map { quoted(String(decoding: $0, as: UTF8.self)) }.joined(separator: " "))\n")
        }
        let tokens = tokenizer.encode(text, specialTokens: .recognised)
        try Terminal.write("tokens:\n")
        try Terminal.write(
            Terminal.table(tokens.map { [quoted(tokenizer.decodeWithSpecialTokens([$0])), String($0)] }))
    }

    private func quoted(_ text: String) -> String { JSONValue.string(text).text() }
}
