/// Upper, lower and title case as Python's `str` has them: Unicode's full mappings, and the final sigma.
extension Jinja.Text {
    var uppercased: Self { mapped { $0.properties.uppercaseMapping.unicodeScalars } }

    var lowercased: Self {
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(count)
        for index in scalars.indices { appendLowercase(index, to: &result) }
        return Self(result, isMarkup: isMarkup)
    }

    var capitalized: Self {
        var result: [Unicode.Scalar] = []
        for (index, scalar) in scalars.enumerated() {
            if index == 0 {
                result += scalar.properties.titlecaseMapping.unicodeScalars
            } else {
                appendLowercase(index, to: &result)
            }
        }
        return Self(result, isMarkup: isMarkup)
    }

    /// `str.title`: each run of cased characters begins with a capital.
    var titlecased: Self {
        var result: [Unicode.Scalar] = []
        var inside = false
        for (index, scalar) in scalars.enumerated() {
            if inside {
                appendLowercase(index, to: &result)
            } else {
                result += scalar.properties.titlecaseMapping.unicodeScalars
            }
            inside = scalar.properties.isCased
        }
        return Self(result, isMarkup: isMarkup)
    }

    var swappedCase: Self {
        var result: [Unicode.Scalar] = []
        for (index, scalar) in scalars.enumerated() {
            if scalar.properties.isUppercase {
                appendLowercase(index, to: &result)
            } else if scalar.properties.isLowercase {
                result += scalar.properties.uppercaseMapping.unicodeScalars
            } else {
                result.append(scalar)
            }
        }
        return Self(result, isMarkup: isMarkup)
    }

    /// The filter `title`: a word begins after a hyphen, white space or an opening bracket.
    var wordsCapitalized: Self {
        func isBreak(_ scalar: Unicode.Scalar) -> Bool {
            scalar.isPythonSpace || ["-", "(", "{", "[", "<"].contains(scalar)
        }
        var result: [Unicode.Scalar] = []
        var start = 0
        while start < count {
            let isBetween = isBreak(scalars[start])
            let end = scalars[start...].firstIndex { isBreak($0) != isBetween } ?? count
            let word = Self(scalars[start..<end])
            result += Self(word.scalars.prefix(1)).uppercased.scalars
            result += Self(word.scalars.dropFirst()).lowercased.scalars
            start = end
        }
        return Self(result)
    }

    /// Has a letter with case, and none of the other case.
    func isCased(upper: Bool) -> Bool {
        var found = false
        for scalar in scalars {
            let properties = scalar.properties
            if properties.generalCategory == .titlecaseLetter { return false }
            if upper ? properties.isLowercase : properties.isUppercase { return false }
            found = found || (upper ? properties.isUppercase : properties.isLowercase)
        }
        return found
    }

    private func mapped(_ map: (Unicode.Scalar) -> String.UnicodeScalarView) -> Self {
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(count)
        for scalar in scalars {
            if scalar.isASCII {
                let isLower = scalar.value >= 0x61 && scalar.value <= 0x7a
                result.append(isLower ? Unicode.Scalar(UInt8(scalar.value - 32)) : scalar)
            } else {
                result += map(scalar)
            }
        }
        return Self(result, isMarkup: isMarkup)
    }

    private func appendLowercase(_ index: Int, to result: inout [Unicode.Scalar]) {
        let scalar = scalars[index]
        if scalar.isASCII {
            let isUpper = scalar.value >= 0x41 && scalar.value <= 0x5a
            result.append(isUpper ? Unicode.Scalar(UInt8(scalar.value + 32)) : scalar)
        } else if scalar == "\u{3a3}" {
            result.append(endsWord(at: index) ? "\u{3c2}" : "\u{3c3}")
        } else {
            result += scalar.properties.lowercaseMapping.unicodeScalars
        }
    }

    /// The sigma at `index` follows a letter and is not followed by one (Unicode standard, table 3-17).
    private func endsWord(at index: Int) -> Bool {
        let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
        let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
        return before?.properties.isCased == true && after?.properties.isCased != true
    }
}
