import GDNFormats

extension Tokenizer {
    /// What there is to say about a tokenizer, for people: names and values in order.
    public var summary: [(String, String)] {
        let name = { (token: Int32?) in
            token.map { token in
                let text = addedTokens.first { $0.token == token }?.content
                return text.map { "\(token) \($0)" } ?? "\(token)"
            } ?? "none"
        }
        var lines = [
            ("kind", configuration["type"]?.string ?? "unknown"), ("tokens", "\(vocabularySize)"),
            ("identity", identity),
            ("begin of document", name(beginOfDocument)), ("end of document", name(endOfDocument)),
            ("padding", name(padding)),
        ]
        if frame != TokenFrame() {
            lines.append(("around a text", "\(frame.prefix.map(name)) … \(frame.suffix.map(name))"))
        }
        if let pairs = self as? BytePairTokenizer { lines += pairs.details }
        for (title, isSpecial) in [("special tokens", true), ("added tokens", false)] {
            let tokens = addedTokens.filter { $0.isSpecial == isSpecial }
            let shown = tokens.prefix(12).map { "\($0.token) \($0.content)" }.joined(separator: ", ")
            lines.append(
                (title, "\(tokens.count)\(tokens.isEmpty ? "" : ": ")\(shown)\(tokens.count > 12 ? ", …" : "")"))
        }
        return lines
    }
}

extension BytePairTokenizer {
    fileprivate var details: [(String, String)] {
        let stages = preTokenizer.stages.map { stage in
            switch stage {
            case .words(let pattern): "\(pattern.name): \(pattern.expression)"
            case .digits(let each): each ? "each digit apart" : "digits apart"
            }
        }
        return [
            ("merges", "\(model.merges.count)"), ("normalizer", normalizer.description),
            ("words", stages.joined(separator: "; ") + (preTokenizer.addsPrefixSpace ? "; a space in front" : "")),
        ]
    }
}
