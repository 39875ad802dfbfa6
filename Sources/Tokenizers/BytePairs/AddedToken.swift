/// A token that is found in the text as it stands, before words are made.
public struct AddedToken: Sendable, Equatable {
    /// The token.
    public var token: Int32
    /// Its text.
    public var content: String
    /// Whether it steers the model, as the end of a document does, and is not text.
    public var isSpecial: Bool
    /// Whether white space before it belongs to it.
    public var takesSpaceBefore = false
    /// Whether white space behind it belongs to it.
    public var takesSpaceBehind = false
    /// Whether it is found only where no letter or digit adjoins.
    public var isSingleWord = false
    /// Whether it is found in normalized text only.
    public var isNormalized = false

    /// A token found wherever its text stands.
    public init(_ token: Int32, _ content: String, isSpecial: Bool) {
        (self.token, self.content, self.isSpecial) = (token, content, isSpecial)
    }
}

/// Finds added tokens in a text: the first place, there the longest.
struct AddedTokenFinder: Sendable {
    /// A part of a text.
    enum Part {
        case text(Range<Int>)
        case token(Int32)
    }

    private let tokens: [AddedToken]
    /// For each first byte the node it leads to, -1 for none.
    private var roots = [Int32](repeating: -1, count: 256)
    private var nodes: [(byte: UInt8, token: Int32, child: Int32, sibling: Int32)] = []

    /// A finder of these tokens, of which the ones without text are left out.
    init(_ tokens: [(token: AddedToken, content: [UInt8])]) {
        self.tokens = tokens.map(\.token)
        for (index, item) in tokens.enumerated() where !item.content.isEmpty { insert(item.content, Int32(index)) }
    }

    /// Whether there is nothing to find.
    var isEmpty: Bool { nodes.isEmpty }

    private mutating func insert(_ content: [UInt8], _ index: Int32) {
        var node = roots[Int(content[0])]
        if node < 0 {
            node = add(content[0], sibling: -1)
            roots[Int(content[0])] = node
        }
        for byte in content.dropFirst() {
            var child = nodes[Int(node)].child
            while child >= 0, nodes[Int(child)].byte != byte { child = nodes[Int(child)].sibling }
            if child < 0 {
                child = add(byte, sibling: nodes[Int(node)].child)
                nodes[Int(node)].child = child
            }
            node = child
        }
        nodes[Int(node)].token = index
    }

    private mutating func add(_ byte: UInt8, sibling: Int32) -> Int32 {
        nodes.append((byte, -1, -1, sibling))
        return Int32(nodes.count - 1)
    }

    /// Calls `body` with the parts of a text, in order.
    /// - Parameter skipsSpecial: special tokens are text like any other
    func split(_ bytes: UnsafeRawBufferPointer, skipsSpecial: Bool, _ body: (Part) -> Void) {
        guard !isEmpty else { return bytes.isEmpty ? () : body(.text(0..<bytes.count)) }
        var (done, index) = (0, 0)
        while let (found, range) = next(bytes, from: index) {
            index = range.upperBound
            let token = tokens[found]
            if token.isSpecial, skipsSpecial { continue }
            if token.isSingleWord, Self.wordAdjoins(bytes, range) { continue }
            let start = token.takesSpaceBefore ? max(done, Self.spaceStart(bytes, range.lowerBound)) : range.lowerBound
            let end = token.takesSpaceBehind ? Self.spaceEnd(bytes, range.upperBound) : range.upperBound
            if done < start { body(.text(done..<start)) }
            body(.token(token.token))
            done = end
            index = max(index, end)
        }
        if done < bytes.count { body(.text(done..<bytes.count)) }
    }

    private func next(_ bytes: UnsafeRawBufferPointer, from start: Int) -> (Int, Range<Int>)? {
        roots.withUnsafeBufferPointer { roots in
            nodes.withUnsafeBufferPointer { nodes in
                for index in start..<max(start, bytes.count) where roots[Int(bytes[index])] >= 0 {
                    var (node, place) = (roots[Int(bytes[index])], index + 1)
                    var (found, end) = (Int32(-1), place)
                    while node >= 0 {
                        if nodes[Int(node)].token >= 0 { (found, end) = (nodes[Int(node)].token, place) }
                        guard place < bytes.count else { break }
                        node = nodes[Int(node)].child
                        while node >= 0, nodes[Int(node)].byte != bytes[place] { node = nodes[Int(node)].sibling }
                        place += 1
                    }
                    if found >= 0 { return (Int(found), index..<end) }
                }
                return nil
            }
        }
    }

    // MARK: What adjoins

    private static func spaceStart(_ bytes: UnsafeRawBufferPointer, _ place: Int) -> Int {
        var place = place
        while let (scalar, start) = before(bytes, place), scalar.properties.isWhitespace { place = start }
        return place
    }

    private static func spaceEnd(_ bytes: UnsafeRawBufferPointer, _ place: Int) -> Int {
        var place = place
        while let (scalar, end) = behind(bytes, place), scalar.properties.isWhitespace { place = end }
        return place
    }

    private static func wordAdjoins(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        before(bytes, range.lowerBound).map { isWord($0.0) } ?? false
            || behind(bytes, range.upperBound).map { isWord($0.0) } ?? false
    }

    /// `\w` of regular expressions (Unicode technical standard 18, annex C).
    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: true
        default: scalar.properties.isAlphabetic || scalar.properties.isJoinControl
        }
    }

    private static func before(_ bytes: UnsafeRawBufferPointer, _ place: Int) -> (Unicode.Scalar, Int)? {
        guard place > 0 else { return nil }
        var start = place - 1
        while start > 0, bytes[start] & 0xc0 == 0x80 { start -= 1 }
        return behind(bytes, start).map { ($0.0, start) }
    }

    private static func behind(_ bytes: UnsafeRawBufferPointer, _ place: Int) -> (Unicode.Scalar, Int)? {
        guard place < bytes.count, case .valid(let length) = UTF8Sequence(bytes, at: place) else { return nil }
        return String(decoding: bytes[place..<place + length], as: UTF8.self).unicodeScalars.first.map {
            ($0, place + length)
        }
    }
}
