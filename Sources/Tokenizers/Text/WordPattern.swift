/// How text is cut into words before byte pairs are merged: the regular expressions of known tokenizers.
///
/// The expressions are recognised by their exact text and matched by hand-written scanners (`WordScanner`).
package struct WordPattern: Sendable, Equatable {
    /// Contractions as `'s`: where they are looked for.
    enum Contractions: Sendable { case none, lowercase, anyCase, behindWords }
    /// What stands behind a run of symbols and belongs to it.
    enum SymbolTail: Sendable { case nothing, newlines, newlinesAndSlashes }

    /// The name, e.g. for tiktoken files, which carry no expression.
    package let name: String
    /// GPT-2's way: one space before a word, a number or a run of symbols; else any character but a letter, a number
    /// or a newline before a word, and runs of white space end behind their last newline.
    let isSpaced: Bool
    let contractions: Contractions
    /// Character classes that make a word.
    let word: UInt8
    /// Whether a word ends where lower case turns into upper case.
    let isCased: Bool
    /// Longest run of numbers.
    let digits: Int
    let tail: SymbolTail
    /// Whether white space at the end of the text stays one piece.
    let keepsEnd: Bool

    private init(
        _ name: String, isSpaced: Bool = false, contractions: Contractions = .anyCase,
        word: UInt8 = CharacterTable.Class.letter, isCased: Bool = false, digits: Int, tail: SymbolTail = .newlines,
        keepsEnd: Bool = false
    ) {
        (self.name, self.isSpaced, self.contractions, self.word) = (name, isSpaced, contractions, word)
        (self.isCased, self.digits, self.tail, self.keepsEnd) = (isCased, digits, tail, keepsEnd)
    }

    private static let lettersAndMarks = CharacterTable.Class.letter | CharacterTable.Class.mark

    package static let gpt2 = WordPattern(
        "gpt2", isSpaced: true, contractions: .lowercase, digits: .max, tail: .nothing)
    /// Qwen, Qwen2, Qwen2.5, Qwen3.
    package static let qwen2 = WordPattern("qwen2", digits: 1)
    package static let qwen3_5 = WordPattern("qwen3_5", word: lettersAndMarks, digits: 1)
    package static let llama3 = WordPattern("llama3", digits: 3)
    package static let cl100k = WordPattern("cl100k", digits: 3, keepsEnd: true)
    package static let o200k = WordPattern(
        "o200k", contractions: .behindWords, word: lettersAndMarks, isCased: true, digits: 3, tail: .newlinesAndSlashes)
    /// Mistral's Tekken.
    package static let tekken = WordPattern(
        "tekken", contractions: .none, word: lettersAndMarks, isCased: true, digits: 1, tail: .newlinesAndSlashes)

    /// All patterns.
    package static let all = [gpt2, qwen2, qwen3_5, llama3, cl100k, o200k, tekken]

    /// The pattern of a name, among them those that tiktoken and models give theirs.
    package init?(name: String) {
        let aliases = [
            "r50k_base": "gpt2", "p50k_base": "gpt2", "p50k_edit": "gpt2", "cl100k_base": "cl100k",
            "o200k_base": "o200k", "o200k_harmony": "o200k", "qwen": "qwen2", "qwen3": "qwen2", "llama-3": "llama3",
        ]
        guard let pattern = Self.all.first(where: { $0.name == aliases[name] ?? name }) else { return nil }
        self = pattern
    }

    /// The pattern that a regular expression is the text of; nil for all others.
    package init?(expression: String) {
        guard let name = Self.expressions[expression], let pattern = Self(name: name) else { return nil }
        self = pattern
    }

    /// The expression in the form that tokenizer.json files have it; what `gdn tokenizer train` writes.
    package var expression: String {
        Self.expressions.filter { $0.value == name }.map(\.key).sorted { ($0.count, $0) < ($1.count, $1) }.last ?? ""
    }

    /// Whether the tokenizers of this pattern normalize text to NFC first; rank files do not say so either.
    var normalizes: Bool { self == .qwen2 || self == .qwen3_5 }

    private static let expressions: [String: String] = {
        let leading = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"#
        let trailing = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"#
        let spaces = #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
        let letters = #"[^\r\n\p{L}\p{N}]?\p{L}+"#
        let symbols = #"| ?[^\s\p{L}\p{N}]+[\r\n]*"# + spaces
        let pathSymbols = #"| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + spaces
        let lower = #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#
        let upper = #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#
        let marked = #"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"#
        let endings = #"\s+(?!\S)|\s"#
        return [
            #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: "gpt2",
            #"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#: "gpt2",
            #"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"#: "gpt2",
            leading + letters + #"|\p{N}"# + symbols: "qwen2",
            leading + marked + spaces: "qwen3_5",
            leading + letters + #"|\p{N}{1,3}"# + symbols: "llama3",
            #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|"#
                + endings: "cl100k",
            lower + trailing + "|" + upper + trailing + #"|\p{N}{1,3}"# + pathSymbols: "o200k",
            lower + "|" + upper + #"|\p{N}"# + pathSymbols: "tekken",
        ]
    }()
}
