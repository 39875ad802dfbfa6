extension Jinja {
    /// The methods of Python's `str`.
    enum TextMethods {
        static let names: Set<String> = {
            var names: Set<String> = ["format", "format_map"]
            for name in signatures.keys { names.insert(name) }
            return names
        }()

        /// Methods that Python has and this interpreter has not.
        static let missing: Set<String> = ["casefold", "encode", "isidentifier", "istitle", "maketrans", "translate"]

        /// Parameters, how many of them must be given, and whether they have names for the caller.
        private typealias Signature = (parameters: [String], required: Int, byName: Bool)

        private static let signatures: [String: Signature] = {
            let none: Signature = ([], 0, false)
            let find: Signature = (["sub", "start", "end"], 1, false)
            let pad: Signature = (["width", "fillchar"], 1, false)
            let split: Signature = (["sep", "maxsplit"], 0, true)
            let strip: Signature = (["chars"], 0, false)
            let one: Signature = (["value"], 1, false)
            return [
                "capitalize": none, "lower": none, "swapcase": none, "title": none, "upper": none,
                "isalnum": none, "isalpha": none, "isascii": none, "isdecimal": none, "isdigit": none,
                "islower": none, "isnumeric": none, "isprintable": none, "isspace": none, "isupper": none,
                "count": find, "endswith": find, "find": find, "index": find, "rfind": find, "rindex": find,
                "startswith": find, "center": pad, "ljust": pad, "rjust": pad, "zfill": one, "join": one,
                "removeprefix": one, "removesuffix": one, "partition": one, "rpartition": one, "split": split,
                "rsplit": split, "strip": strip, "lstrip": strip, "rstrip": strip,
                "expandtabs": (["tabsize"], 0, true), "splitlines": (["keepends"], 0, true),
                "replace": (["old", "new", "count"], 2, false),
            ]
        }()

        static func call(_ run: Interpreter, _ text: Text, _ name: String, _ given: Arguments) throws -> Value {
            try run.charge(text.count)
            if name == "format" { return try run.formatted(text, given) }
            if name == "format_map" { return try run.formatted(text, try mapping(given)) }
            guard let (parameters, required, byName) = signatures[name] else {
                throw Failure(.unsupported, "str.\(name) is not supported")
            }
            let bound = try given.bound(to: parameters, required: required, byName: byName, of: "str.\(name)")
            return try changed(run, text, name, bound) ?? asked(text, name, bound)
                ?? divided(run, text, name, bound) ?? .text(text)
        }

        private static func mapping(_ given: Arguments) throws -> Arguments {
            let bound = try given.bound(to: ["mapping"], required: 1, byName: false, of: "str.format_map")
            guard case .dict(let mapping) = bound.value(0) else { throw Failure(.value, "format_map needs a dict") }
            var result = Arguments()
            for case (.text(let name), let value) in mapping.members { result.named.append((name.string, value)) }
            return result
        }

        // MARK: Another text

        private static func changed(
            _ run: Interpreter, _ text: Text, _ name: String, _ bound: Bound
        ) throws -> Value? {
            switch name {
            case "capitalize": return .text(text.capitalized)
            case "lower": return .text(text.lowercased)
            case "swapcase": return .text(text.swappedCase)
            case "title": return .text(text.titlecased)
            case "upper": return .text(text.uppercased)
            case "strip", "lstrip", "rstrip":
                return .text(
                    try Methods.stripped(
                        run, text, try bound.optionalText(0), left: name != "rstrip", right: name != "lstrip"))
            case "center", "ljust", "rjust":
                let fill = try bound[1] == nil ? " " : bound.text(1)
                guard fill.count == 1 else { throw Failure(.value, "the fill must be one character") }
                let side: Methods.Side = name == "center" ? .center : name == "ljust" ? .left : .right
                return .text(
                    try Methods.padded(run, text, bound.integer(0) ?? 0, text.isMarkup ? fill.escaped : fill, side))
            case "zfill":
                let width = try bound.integer(0) ?? 0
                let sign = text.scalars.first.map { $0 == "+" || $0 == "-" } == true ? 1 : 0
                let zeros = max(0, width - text.count)
                try run.charge(zeros)
                let scalars =
                    Array(text.scalars.prefix(sign)) + Array(repeating: "0", count: zeros)
                    + text.scalars.dropFirst(sign)
                return .text(Text(scalars, isMarkup: text.isMarkup))
            case "removeprefix":
                let isThere = text.scalars.starts(with: try bound.text(0).scalars)
                return .text(
                    Text(text.scalars.dropFirst(isThere ? try bound.text(0).count : 0), isMarkup: text.isMarkup))
            case "removesuffix":
                let suffix = try bound.text(0)
                let isThere = text.count >= suffix.count && text.scalars.suffix(suffix.count) == suffix.scalars[...]
                return .text(Text(text.scalars.dropLast(isThere ? suffix.count : 0), isMarkup: text.isMarkup))
            case "replace":
                let (old, new) = (try bound.text(0), try bound.text(1))
                let result = try Methods.replaced(
                    run, text, old, text.isMarkup ? new.escaped : new, try bound.integer(2) ?? -1)
                return .text(result.marked(like: text))
            case "expandtabs": return .text(try expanded(run, text, try bound.integer(0) ?? 8))
            case "join": return .text(try joined(run, text, bound.value(0)))
            default: return nil
            }
        }

        private static func joined(_ run: Interpreter, _ separator: Text, _ value: Value) throws -> Text {
            var result: [Unicode.Scalar] = []
            let cursor = try run.cursor(value)
            var index = 0
            while let element = try cursor.next() {
                guard case .text(let text) = element else {
                    throw Failure(
                        .value, "sequence item \(index): expected str instance, \(element.typeName) found")
                }
                try run.charge(separator.count + text.count + 8)
                if index > 0 { result += separator.scalars }
                result += separator.isMarkup ? text.escaped.scalars : text.scalars
                index += 1
            }
            return Text(result, isMarkup: separator.isMarkup)
        }

        private static func expanded(_ run: Interpreter, _ text: Text, _ size: Int) throws -> Text {
            var result: [Unicode.Scalar] = []
            var column = 0
            for scalar in text.scalars {
                if scalar == "\t" {
                    let width = size > 0 ? size - column % size : 0
                    try run.charge(width)
                    result += Array(repeating: " ", count: width)
                    column += width
                } else {
                    result.append(scalar)
                    column = scalar == "\n" || scalar == "\r" ? 0 : column + 1
                }
            }
            return Text(result, isMarkup: text.isMarkup)
        }

        // MARK: Questions

        private static func asked(_ text: Text, _ name: String, _ bound: Bound) throws -> Value? {
            func all(_ test: (Unicode.Scalar) -> Bool) -> Value {
                .bool(!text.isEmpty && text.scalars.allSatisfy(test))
            }
            switch name {
            case "isalnum": return all { $0.isPythonLetter || $0.properties.numericType != nil }
            case "isalpha": return all(\.isPythonLetter)
            case "isascii": return .bool(text.scalars.allSatisfy(\.isASCII))
            case "isdecimal": return all { $0.properties.numericType == .decimal }
            case "isdigit": return all { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
            case "isnumeric": return all { $0.properties.numericType != nil }
            case "isprintable": return .bool(text.scalars.allSatisfy(\.isPythonPrintable))
            case "isspace": return all(\.isPythonSpace)
            case "islower": return .bool(text.isCased(upper: false))
            case "isupper": return .bool(text.isCased(upper: true))
            case "startswith", "endswith": return .bool(try touches(text, bound, end: name == "endswith"))
            case "count":
                guard let range = try range(text, bound) else { return .int(0) }
                return .int(TextSearch(try bound.text(0).scalars).all(in: Array(text.scalars[range])).count)
            case "find", "index", "rfind", "rindex":
                let found = try place(text, bound, fromEnd: name.hasPrefix("r"))
                if found == nil, name.hasSuffix("index") { throw Failure(.value, "substring not found") }
                return .int(found ?? -1)
            default: return nil
            }
        }

        /// The range that `start` and `end` say; nil when it begins behind its end.
        private static func range(_ text: Text, _ bound: Bound) throws -> Range<Int>? {
            func clamped(_ index: Int) -> Int { index < 0 ? max(0, index + text.count) : index }
            let start = if bound.value(1).isNull { 0 } else { clamped(try bound.integer(1) ?? 0) }
            let end =
                if bound.value(2).isNull { text.count } else { min(clamped(try bound.integer(2) ?? 0), text.count) }
            return start <= end ? start..<end : nil
        }

        private static func place(_ text: Text, _ bound: Bound, fromEnd: Bool) throws -> Int? {
            let part = try bound.text(0)
            guard let range = try range(text, bound) else { return nil }
            guard fromEnd else { return TextSearch(part.scalars).first(in: text.scalars, range) }
            let mirrored = text.count - range.upperBound..<text.count - range.lowerBound
            let found = TextSearch(part.reversed.scalars).first(in: text.reversed.scalars, mirrored)
            return found.map { text.count - $0 - part.count }
        }

        private static func touches(_ text: Text, _ bound: Bound, end: Bool) throws -> Bool {
            guard let range = try range(text, bound) else { return false }
            let slice = text.scalars[range]
            var candidates: [Value] = [bound.value(0)]
            if case .tuple(let items) = candidates[0] { candidates = items.values }
            for candidate in candidates {
                guard case .text(let part) = candidate else {
                    throw Failure(
                        .value, "\(bound.function) expected a string or a tuple of strings, not \(candidate.typeName)")
                }
                let isThere =
                    end
                    ? part.count <= slice.count && slice.suffix(part.count) == part.scalars[...]
                    : slice.starts(with: part.scalars)
                if isThere { return true }
            }
            return false
        }

        // MARK: Parts

        private static func divided(
            _ run: Interpreter, _ text: Text, _ name: String, _ bound: Bound
        ) throws -> Value? {
            func texts(_ parts: [Text.Slice]) -> [Value] { parts.map { .text(Text($0, isMarkup: text.isMarkup)) } }
            switch name {
            case "splitlines": return try run.list(texts(text.lines(keepingEnds: bound.isTrue(0))))
            case "split", "rsplit":
                let isReversed = name == "rsplit"
                let source = isReversed ? text.reversed : text
                let limit = try bound.integer(1) ?? -1
                var parts: [Text.Slice]
                if let separator = try bound.optionalText(0) {
                    guard !separator.isEmpty else { throw Failure(.value, "empty separator") }
                    parts = source.split(at: isReversed ? separator.reversed : separator, limit: limit)
                } else {
                    parts = source.splitAtSpace(limit: limit)
                }
                if isReversed { parts = parts.reversed().map { Array($0.reversed())[...] } }
                return try run.list(texts(parts))
            case "partition", "rpartition":
                let separator = try bound.text(0)
                guard !separator.isEmpty else { throw Failure(.value, "empty separator") }
                let fromEnd = name == "rpartition"
                let whole = Bound(values: [bound[0], nil, nil], function: bound.function)
                var parts: [Text.Slice] = fromEnd ? [[], [], text.scalars[...]] : [text.scalars[...], [], []]
                if let found = try place(text, whole, fromEnd: fromEnd) {
                    let end = found + separator.count
                    parts = [text.scalars[..<found], text.scalars[found..<end], text.scalars[end...]]
                }
                return .tuple(try Items(texts(parts)))
            default: return nil
            }
        }
    }
}

extension Jinja.Methods {
    typealias Text = Jinja.Text

    enum Side { case left, right, center }

    /// A text filled up to a width; `side` is where the text stands.
    static func padded(
        _ run: Jinja.Interpreter, _ text: Text, _ width: Int, _ fill: Text, _ side: Side
    ) throws -> Text {
        let missing = max(0, width - text.count)
        try run.charge(Jinja.product(missing, fill.count))
        let before =
            switch side {
            case .left: 0
            case .right: missing
            case .center: missing / 2 + (missing & width & 1)
            }
        func filling(_ count: Int) -> [Unicode.Scalar] { Array(repeatElement(fill.scalars, count: count).joined()) }
        return Text(filling(before) + text.scalars + filling(missing - before), isMarkup: text.isMarkup)
    }

    /// A text without white space, or without some characters, at its ends.
    static func stripped(
        _ run: Jinja.Interpreter, _ text: Text, _ characters: Text?, left: Bool, right: Bool
    ) throws -> Text {
        try run.charge(text.count)
        guard let characters else {
            return Text(text.stripped(left: left, right: right), isMarkup: text.isMarkup)
        }
        let set = Set(characters.scalars)
        return Text(text.stripped(left: left, right: right, where: set.contains), isMarkup: text.isMarkup)
    }

    /// A text with `old` replaced; the result is not marked.
    static func replaced(
        _ run: Jinja.Interpreter, _ text: Text, _ old: Text, _ new: Text, _ limit: Int
    ) throws -> Text {
        try run.charge(text.count)
        let most = old.isEmpty ? text.count + 1 : text.count / max(old.count, 1)
        if new.count > old.count { try run.charge(Jinja.product(min(most, limit < 0 ? most : limit), new.count)) }
        return text.replacing(old, with: new, limit: limit)
    }
}
