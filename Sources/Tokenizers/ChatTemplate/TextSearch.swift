extension Jinja {
    /// Finds a pattern in time linear in text and pattern, whatever they are (Knuth, Morris and Pratt).
    struct TextSearch {
        private let pattern: [Unicode.Scalar]
        /// Length of the longest proper prefix of pattern[0...i] that ends it as well.
        private let borders: [Int]

        init(_ pattern: some Sequence<Unicode.Scalar>) {
            self.pattern = Array(pattern)
            var borders = [Int](repeating: 0, count: self.pattern.count)
            var length = 0
            for index in self.pattern.indices.dropFirst() {
                while length > 0, self.pattern[index] != self.pattern[length] { length = borders[length - 1] }
                if self.pattern[index] == self.pattern[length] { length += 1 }
                borders[index] = length
            }
            self.borders = borders
        }

        /// Where the pattern begins in `range` of the text for the first time; an empty one at its beginning.
        func first(in text: [Unicode.Scalar], _ range: Range<Int>) -> Int? {
            if pattern.isEmpty { return range.lowerBound }
            var matched = 0
            for index in range {
                while matched > 0, text[index] != pattern[matched] { matched = borders[matched - 1] }
                if text[index] == pattern[matched] { matched += 1 }
                if matched == pattern.count { return index + 1 - matched }
            }
            return nil
        }

        /// Where the pattern begins, in order, without overlaps; an empty pattern is everywhere.
        /// - Parameter limit: how many at most; negative for all.
        func all(in text: [Unicode.Scalar], limit: Int = -1) -> [Int] {
            var result: [Int] = []
            var start = 0
            while limit < 0 || result.count < limit, start <= text.count,
                let found = first(in: text, start..<text.count)
            {
                result.append(found)
                start = found + max(pattern.count, 1)
            }
            return result
        }
    }
}

extension Jinja.Text {
    func contains(_ part: Self) -> Bool {
        Jinja.TextSearch(part.scalars).first(in: scalars, 0..<count) != nil
    }

    /// `str.replace`
    func replacing(_ old: Self, with new: Self, limit: Int = -1) -> Self {
        var result: [Unicode.Scalar] = []
        var start = 0
        for found in Jinja.TextSearch(old.scalars).all(in: scalars, limit: limit) {
            result += scalars[start..<found]
            result += new.scalars
            start = found + old.count
        }
        result += scalars[start...]
        return Self(result)
    }

    /// `str.split` at a separator that is not empty.
    func split(at separator: Self, limit: Int = -1) -> [Slice] {
        var result: [Slice] = []
        var start = 0
        for found in Jinja.TextSearch(separator.scalars).all(in: scalars, limit: limit) {
            result.append(scalars[start..<found])
            start = found + separator.count
        }
        result.append(scalars[start...])
        return result
    }

    /// `str.split` at runs of white space.
    func splitAtSpace(limit: Int = -1) -> [Slice] {
        var result: [Slice] = []
        var rest = scalars[...].drop(while: \.isPythonSpace)
        while !rest.isEmpty {
            if limit >= 0, result.count == limit {
                return result + [rest]
            }
            let word = rest.prefix { !$0.isPythonSpace }
            result.append(word)
            rest = rest[word.endIndex...].drop(while: \.isPythonSpace)
        }
        return result
    }

    /// The text back to front, for what searches from the right.
    var reversed: Self { Self(scalars.reversed(), isMarkup: isMarkup) }
}
