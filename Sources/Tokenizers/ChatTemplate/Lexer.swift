extension Jinja {
    struct Token: Sendable {
        enum Kind: Sendable, Equatable {
            case data(Text)
            case outputBegin, outputEnd, blockBegin, blockEnd
            case name(String)
            case text(Text)
            case int(Int)
            case float(Double)
            case symbol(String)
            case end
        }

        let kind: Kind
        let position: Position

        /// For messages.
        var description: String {
            switch kind {
            case .data: "text"
            case .outputBegin: "{{"
            case .outputEnd: "}}"
            case .blockBegin: "{%"
            case .blockEnd: "%}"
            case .name(let name): name
            case .text: "a string"
            case .int, .float: "a number"
            case .symbol(let symbol): symbol
            case .end: "the end of the template"
            }
        }
    }

    /// Cuts a template into tokens, with the white-space rules `trim_blocks` and `lstrip_blocks`, and without one
    /// line break at the end of the template.
    struct Lexer {
        private let source: [Unicode.Scalar]
        private let lineStarts: [Int]
        private var index = 0
        private var tokens: [Token] = []
        /// The brackets that are open; inside them `}}` and `%}` are no ends.
        private var open: [Unicode.Scalar] = []

        init(_ source: String) {
            var scalars = Self.withPlainLineBreaks(source.unicodeScalars)
            if scalars.last == "\n" { scalars.removeLast() }
            self.source = scalars
            lineStarts = [0] + scalars.indices.filter { scalars[$0] == "\n" }.map { $0 + 1 }
        }

        mutating func tokenize() throws -> [Token] {
            while index < source.count { try text() }
            append(.end, at: index)
            return tokens
        }

        static func withPlainLineBreaks(_ scalars: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar] {
            var result: [Unicode.Scalar] = []
            var afterReturn = false
            for scalar in scalars {
                if scalar == "\r" || (scalar == "\n" && !afterReturn) { result.append("\n") }
                if scalar != "\r" && scalar != "\n" { result.append(scalar) }
                afterReturn = scalar == "\r"
            }
            return result
        }

        /// Text up to the next tag, then the tag.
        private mutating func text() throws {
            let start = index
            guard
                let tag = (start..<source.count).first(where: {
                    source[$0] == "{" && $0 + 1 < source.count && ["{", "%", "#"].contains(source[$0 + 1])
                })
            else {
                index = source.count
                return append(.data(Text(source[start...])), at: start)
            }
            let kind = source[tag + 1]
            index = tag + 2
            let sign = takeSign(["-", "+"])
            let data = trimmed(start..<tag, sign: sign, atLineStart: kind != "{")
            if !data.isEmpty { append(.data(Text(data)), at: start) }
            switch kind {
            case "#": try comment(from: tag)
            case "{":
                append(.outputBegin, at: tag)
                try inside(from: tag, closing: "}", .outputEnd)
            case _ where takeRawBegin(): try raw(from: tag)
            default:
                append(.blockBegin, at: tag)
                try inside(from: tag, closing: "%", .blockEnd)
            }
        }

        /// The text before a tag: `-` takes all white space at its end, and a tag that begins its line takes the
        /// spaces before it (`lstrip_blocks`) unless it says `+`.
        private func trimmed(_ range: Range<Int>, sign: Unicode.Scalar?, atLineStart: Bool) -> Text.Slice {
            let text = source[range]
            if sign == "-" { return Text(text).stripped(left: false) }
            guard sign == nil, atLineStart else { return text }
            let lineBreak = text.lastIndex(of: "\n")
            let begin = lineBreak.map { $0 + 1 } ?? range.lowerBound
            guard lineBreak != nil || begin == 0 || source[begin - 1] == "\n" else { return text }
            return source[begin..<range.upperBound].allSatisfy(\.isPythonSpace) ? text[..<begin] : text
        }

        /// A comment's rest, from behind its sign. As in Jinja, one that begins at the very end needs no end.
        private mutating func comment(from tag: Int) throws {
            guard index < source.count else { return }
            guard let end = (index..<source.count).first(where: { matches("#}", at: $0) }) else {
                throw failure(.syntax, "the comment is not closed", at: tag)
            }
            let sign = end > index ? source[end - 1] : nil
            index = end + 2
            finishTag(sign: sign == "-" || sign == "+" ? sign : nil, trimsLineBreak: true)
        }

        /// Takes `raw %}` behind `{%`, if that is what stands there.
        private mutating func takeRawBegin() -> Bool {
            var place = skipSpace(from: index)
            guard matches("raw", at: place) else { return false }
            place = skipSpace(from: place + 3)
            if matches("%}", at: place) {
                index = place + 2
            } else if matches("-%}", at: place) {
                index = skipSpace(from: place + 3)
            } else {
                return false
            }
            return true
        }

        private mutating func raw(from tag: Int) throws {
            guard index < source.count else { return }
            let start = index
            var place = start
            while let begin = (place..<max(place, source.count)).first(where: { matches("{%", at: $0) }) {
                place = begin + 2
                index = place
                let sign = takeSign(["-", "+"])
                let name = skipSpace(from: index)
                guard matches("endraw", at: name) else { continue }
                index = skipSpace(from: name + 6)
                let end = takeSign(["-", "+"])
                guard matches("%}", at: index) else { continue }
                index += 2
                finishTag(sign: end, trimsLineBreak: true)
                let data = trimmed(start..<begin, sign: sign, atLineStart: true)
                if !data.isEmpty { append(.data(Text(data)), at: start) }
                return
            }
            throw failure(.syntax, "the raw block is not closed", at: tag)
        }

        /// The tokens of a tag, up to and with its end.
        private mutating func inside(from tag: Int, closing: Unicode.Scalar, _ end: Token.Kind) throws {
            open = []
            while index < source.count {
                if open.isEmpty {
                    let start = index
                    let sign = takeSign(closing == "%" ? ["-", "+"] : ["-"])
                    if index + 1 < source.count, source[index] == closing, source[index + 1] == "}" {
                        append(end, at: start)
                        index += 2
                        return finishTag(sign: sign, trimsLineBreak: closing == "%")
                    }
                    index = start
                }
                try token()
            }
            throw failure(.syntax, "the tag is not closed", at: tag)
        }

        private mutating func token() throws {
            let start = index
            let scalar = source[index]
            if scalar.isPythonSpace {
                index += 1
            } else if let number = try takeNumber() {
                append(number, at: start)
            } else if scalar == "_" || scalar.properties.isXIDStart {
                while index < source.count, source[index].properties.isXIDContinue { index += 1 }
                append(.name(Text(source[start..<index]).string), at: start)
            } else if scalar == "'" || scalar == "\"" {
                try string(quote: scalar)
            } else {
                try symbol()
            }
        }

        private mutating func string(quote: Unicode.Scalar) throws {
            let start = index
            index += 1
            while index < source.count, source[index] != quote { index += source[index] == "\\" ? 2 : 1 }
            guard index < source.count else { throw failure(.syntax, "the string is not closed", at: start) }
            do {
                append(.text(Text(try StringLiteral.decode(source[(start + 1)..<index]))), at: start)
            } catch let error as Failure {
                throw failure(error.kind, error.message, at: start)
            }
            index += 1
        }

        private mutating func symbol() throws {
            let two = ["//", "**", "==", "!=", ">=", "<="].first { matches($0, at: index) }
            let symbol = two ?? String(source[index])
            guard two != nil || "+-/*%~[](){}><=.:|,;".unicodeScalars.contains(source[index]) else {
                throw failure(.syntax, "unexpected character '\(symbol)'", at: index)
            }
            switch symbol {
            case "(": open.append(")")
            case "[": open.append("]")
            case "{": open.append("}")
            case ")", "]", "}":
                guard open.popLast() == source[index] else {
                    throw failure(.syntax, "'\(symbol)' closes nothing", at: index)
                }
            default: break
            }
            append(.symbol(symbol), at: index)
            index += symbol.unicodeScalars.count
        }

        // MARK: Small parts

        private mutating func takeNumber() throws -> Token.Kind? {
            let start = index
            guard let (kind, end) = try NumberLiteral.read(source, from: index) else { return nil }
            guard let kind else { throw failure(.limit, "the number does not fit 64 bits", at: start) }
            index = end
            return kind
        }

        /// Behind the end of a tag: `-` takes all white space that follows, otherwise a block takes one line break.
        private mutating func finishTag(sign: Unicode.Scalar?, trimsLineBreak: Bool) {
            if sign == "-" {
                index = skipSpace(from: index)
            } else if sign == nil, trimsLineBreak, index < source.count, source[index] == "\n" {
                index += 1
            }
        }

        private mutating func takeSign(_ signs: [Unicode.Scalar]) -> Unicode.Scalar? {
            guard index < source.count, signs.contains(source[index]) else { return nil }
            index += 1
            return source[index - 1]
        }

        private func skipSpace(from start: Int) -> Int {
            start >= source.count ? start : source[start...].firstIndex { !$0.isPythonSpace } ?? source.count
        }

        private func matches(_ text: String, at place: Int) -> Bool {
            place <= source.count && source[place...].starts(with: text.unicodeScalars)
        }

        private mutating func append(_ kind: Token.Kind, at place: Int) {
            tokens.append(Token(kind: kind, position: position(of: place)))
        }

        private func failure(_ kind: ChatTemplateError.Kind, _ message: String, at place: Int) -> Failure {
            Failure(kind, message, at: position(of: place))
        }

        private func position(of place: Int) -> Position {
            var (low, high) = (0, lineStarts.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                if lineStarts[middle] <= place { low = middle } else { high = middle }
            }
            return Position(line: low + 1, column: place - lineStarts[low] + 1)
        }
    }
}
