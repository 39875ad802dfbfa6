extension Jinja {
    /// Text as Python sees it: a sequence of Unicode scalars, compared scalar by scalar.
    ///
    /// Swift's `String` counts grapheme clusters and holds composed and decomposed forms equal; Python does neither.
    struct Text: Hashable, Sendable {
        var scalars: [Unicode.Scalar]
        /// Came out of `safe` or `escape`: text added to it is escaped for HTML.
        var isMarkup = false

        init(_ scalars: some Sequence<Unicode.Scalar>, isMarkup: Bool = false) {
            self.scalars = Array(scalars)
            self.isMarkup = isMarkup
        }

        init(_ string: String) { self.init(string.unicodeScalars) }

        var string: String {
            var view = String.UnicodeScalarView()
            view.append(contentsOf: scalars)
            return String(view)
        }

        var count: Int { scalars.count }
        var isEmpty: Bool { scalars.isEmpty }

        static func == (left: Text, right: Text) -> Bool { left.scalars == right.scalars }

        static func < (left: Text, right: Text) -> Bool { left.scalars.lexicographicallyPrecedes(right.scalars) }

        func hash(into hasher: inout Hasher) {
            scalars.withUnsafeBytes { hasher.combine(bytes: $0) }
        }
    }
}

extension Jinja.Text: ExpressibleByStringLiteral {
    init(stringLiteral value: String) { self.init(value) }
}

extension Unicode.Scalar {
    /// White space as Python's `str.isspace` and `\s` have it.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0d, 0x1c...0x20, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000: true
        default: false
        }
    }

    /// Ends a line for `str.splitlines`.
    var isLineBreak: Bool {
        switch value {
        case 0x0a...0x0d, 0x1c...0x1e, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    /// A letter for `str.isalpha`.
    var isPythonLetter: Bool {
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    /// `\w` of Python's regular expressions.
    var isPythonWord: Bool { self == "_" || isPythonLetter || properties.numericType != nil }

    /// Shown as it is by `repr`.
    var isPythonPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        case .spaceSeparator: self == " "
        default: true
        }
    }
}

extension Jinja.Text {
    typealias Slice = ArraySlice<Unicode.Scalar>

    /// The scalars without those at the ends that `isDropped` accepts.
    func stripped(
        left: Bool = true, right: Bool = true, where isDropped: (Unicode.Scalar) -> Bool = \.isPythonSpace
    ) -> Slice {
        var slice = scalars[...]
        if left { slice = slice.drop(while: isDropped) }
        if right { while let last = slice.last, isDropped(last) { slice.removeLast() } }
        return slice
    }

    /// The same text, marked or not like `other`.
    func marked(like other: Self) -> Self { Self(scalars, isMarkup: other.isMarkup) }

    /// With `& < > ' "` as HTML entities; markup stays as it is.
    var escaped: Self {
        if isMarkup { return self }
        var result: [Unicode.Scalar] = []
        for scalar in scalars {
            switch scalar {
            case "&": result += "&amp;".unicodeScalars
            case "<": result += "&lt;".unicodeScalars
            case ">": result += "&gt;".unicodeScalars
            case "'": result += "&#39;".unicodeScalars
            case "\"": result += "&#34;".unicodeScalars
            default: result.append(scalar)
            }
        }
        return Self(result, isMarkup: true)
    }

    /// The lines as `str.splitlines` makes them.
    func lines(keepingEnds: Bool = false) -> [Slice] {
        var result: [Slice] = []
        var (start, index) = (0, 0)
        while index < count {
            guard scalars[index].isLineBreak else {
                index += 1
                continue
            }
            let end = index
            index += scalars[index] == "\r" && index + 1 < count && scalars[index + 1] == "\n" ? 2 : 1
            result.append(scalars[start..<(keepingEnds ? index : end)])
            start = index
        }
        if start < count { result.append(scalars[start...]) }
        return result
    }
}
