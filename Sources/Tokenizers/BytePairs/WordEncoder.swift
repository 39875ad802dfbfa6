/// Turns words into tokens: what one thread needs for it, and the words it met lately.
///
/// 1. A word of at most 24 bytes is looked for in a table of fixed size, where each word has one place of 64 bytes
///    (one line of the processor's cache): three machine words of text, length, number of tokens, up to nine tokens.
/// 2. Else its bytes become tokens, and the pair of lowest rank, of equal ones the first, is merged until none merges.
///    Short words search their pairs again after each merge, long ones keep them in a heap (`LongWordMerger`).
final class WordEncoder {
    private typealias Entry = (
        text: (UInt64, UInt64, UInt64), length: UInt16, count: UInt16,
        tokens: (Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32, Int32)
    )
    private static let cacheBits: UInt64 = 17
    private static let longestCached = 24
    private static let mostCached = 9
    private static let longestSearched = 64

    private let model: BytePairModel
    private let byteTokens: UnsafeMutablePointer<Int32>
    private let cache: UnsafeMutablePointer<Entry>
    private let pairs: UnsafeMutablePointer<UInt64>
    private var long = LongWordMerger()
    /// Tokens not handed over yet.
    private var output: UnsafeMutablePointer<Int32>
    private var capacity = 1 << 14
    private var count = 0

    init(_ model: BytePairModel) {
        self.model = model
        byteTokens = .allocate(capacity: 256)
        byteTokens.initialize(from: model.byteTokens, count: 256)
        cache = .allocate(capacity: 1 << Self.cacheBits)
        cache.initialize(
            repeating: ((0, 0, 0), 0, 0, (0, 0, 0, 0, 0, 0, 0, 0, 0)), count: 1 << Self.cacheBits)
        pairs = .allocate(capacity: Self.longestSearched)
        pairs.initialize(repeating: 0, count: Self.longestSearched)
        output = .allocate(capacity: capacity)
        output.initialize(repeating: 0, count: capacity)
    }

    deinit {
        byteTokens.deallocate()
        cache.deallocate()
        pairs.deallocate()
        output.deallocate()
    }

    /// Hands over all tokens.
    func flush(into tokens: inout [Int32]) {
        if count > 0 { tokens.append(contentsOf: UnsafeBufferPointer(start: output, count: count)) }
        count = 0
    }

    /// Appends a token as it is.
    func append(_ token: Int32, into tokens: inout [Int32]) {
        makeRoom(1, &tokens)
        output[count] = token
        count += 1
    }

    /// Appends the tokens of a word.
    /// - Parameters:
    ///   - word: its first byte
    ///   - length: at least 1
    ///   - readable: number of bytes from `word` on that may be read, at least `length`
    ///   - tokens: takes over tokens when there are many
    @inline(__always)
    func encode(_ word: UnsafePointer<UInt8>, _ length: Int, readable: Int, into tokens: inout [Int32]) {
        makeRoom(length, &tokens)
        guard length <= Self.longestCached else { return merge(word, length) }
        let text = Self.load(word, length, readable)
        let mixed =
            (text.0 &* 0x9e37_79b9_7f4a_7c15) ^ (text.1 &* 0xc2b2_ae3d_27d4_eb4f) ^ (text.2 &* 0x1656_67b1_9e37_79f9)
        let hash = (mixed ^ mixed >> 32 ^ UInt64(truncatingIfNeeded: length)) &* 0x9e37_79b9_7f4a_7c15
        let entry = cache + Int(truncatingIfNeeded: hash >> (64 &- Self.cacheBits))
        if entry.pointee.length == UInt16(truncatingIfNeeded: length), entry.pointee.text == text {
            let found = Int(entry.pointee.count)
            let target = UnsafeMutableRawPointer(output + count)
            withUnsafePointer(to: &entry.pointee.tokens) { tokens in
                // Room for eight more than counted is always there.
                target.copyMemory(from: tokens, byteCount: 36)
            }
            count &+= found
            return
        }
        let start = count
        merge(word, length)
        guard count &- start <= Self.mostCached else { return }
        entry.pointee.text = text
        entry.pointee.length = UInt16(truncatingIfNeeded: length)
        entry.pointee.count = UInt16(truncatingIfNeeded: count &- start)
        withUnsafeMutableBytes(of: &entry.pointee.tokens) { tokens in
            tokens.copyMemory(from: UnsafeRawBufferPointer(start: output + start, count: (count &- start) * 4))
        }
    }

    @inline(__always)
    private func makeRoom(_ length: Int, _ tokens: inout [Int32]) {
        if count &+ length &+ Self.mostCached > capacity { makeMoreRoom(length, &tokens) }
    }

    private func makeMoreRoom(_ length: Int, _ tokens: inout [Int32]) {
        flush(into: &tokens)
        guard length + Self.mostCached > capacity else { return }
        capacity = length + Self.mostCached
        output.deallocate()
        output = .allocate(capacity: capacity)
        output.initialize(repeating: 0, count: capacity)
    }

    /// The bytes of a word as numbers, zeros behind them.
    @inline(__always)
    private static func load(_ word: UnsafePointer<UInt8>, _ length: Int, _ readable: Int) -> (UInt64, UInt64, UInt64) {
        guard readable >= longestCached else {
            var padded: (UInt64, UInt64, UInt64) = (0, 0, 0)
            withUnsafeMutableBytes(of: &padded) {
                $0.copyMemory(from: UnsafeRawBufferPointer(start: word, count: length))
            }
            return padded
        }
        let raw = UnsafeRawPointer(word)
        let first = raw.loadUnaligned(as: UInt64.self)
        if length <= 8 { return (first & mask(length), 0, 0) }
        let second = raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
        if length <= 16 { return (first, second & mask(length &- 8), 0) }
        return (first, second, raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self) & mask(length &- 16))
    }

    /// The lowest bytes, 1 to 8 of them; words are little-endian, and `UInt64` is read as the machine has it.
    @inline(__always)
    private static func mask(_ count: Int) -> UInt64 {
        let low = UInt64.max &>> UInt64(truncatingIfNeeded: (8 &- count) &* 8)
        return low.littleEndian
    }

    /// Appends the tokens of a word that is in no table.
    private func merge(_ word: UnsafePointer<UInt8>, _ length: Int) {
        if model.keepsWholeWords,
            let token = model.vocabulary.token(of: UnsafeRawBufferPointer(start: word, count: length))
        {
            output[count] = token
            count += 1
            return
        }
        let tokens = output + count
        var number = model.characters.map { begin($0, word, length, tokens) } ?? begin(word, length, tokens)
        if number > Self.longestSearched {
            number = long.merge(tokens, number, model.merges)
        } else if number > 1 {
            number = search(tokens, number)
        }
        count += number
    }

    /// The tokens of single bytes.
    /// - Returns: how many.
    private func begin(_ word: UnsafePointer<UInt8>, _ length: Int, _ tokens: UnsafeMutablePointer<Int32>) -> Int {
        var number = 0
        for index in 0..<length {
            var token = byteTokens[Int(word[index])]
            if token < 0 {
                guard let unknown = model.unknown else { continue }
                token = unknown.token
                if unknown.fuses, index > 0, number > 0, byteTokens[Int(word[index - 1])] < 0 { continue }
            }
            tokens[number] = token
            number += 1
        }
        return number
    }

    /// The tokens of single characters, of those without one the tokens of their bytes.
    /// - Returns: how many.
    private func begin(
        _ characters: CharacterPieces, _ word: UnsafePointer<UInt8>, _ length: Int,
        _ tokens: UnsafeMutablePointer<Int32>
    ) -> Int {
        var (number, index) = (0, 0)
        while index < length {
            let size = CharacterPieces.length(word[index], length - index)
            let found =
                size == 1
                ? byteTokens[Int(word[index])]
                : model.vocabulary.token(of: UnsafeRawBufferPointer(start: word + index, count: size)) ?? -1
            if found >= 0 {
                tokens[number] = found
                number += 1
            } else {
                for byte in index..<index + size {
                    tokens[number] = characters.byteTokens[Int(word[byte])]
                    number += 1
                }
            }
            index += size
        }
        return number
    }

    /// Merges tokens in place.
    /// - Returns: how many are left.
    private func search(_ tokens: UnsafeMutablePointer<Int32>, _ number: Int) -> Int {
        let merges = model.merges
        var last = number &- 1  // number of pairs
        for index in 0..<last { pairs[index] = merges.merge(tokens[index], tokens[index &+ 1]) }
        while last > 0 {
            var (best, place) = (PairTable.none, -1)
            for index in 0..<last where pairs[index] < best { (best, place) = (pairs[index], index) }
            guard place >= 0 else { break }
            tokens[place] = Int32(truncatingIfNeeded: best)
            last &-= 1
            for index in place &+ 1..<last &+ 1 { tokens[index] = tokens[index &+ 1] }
            for index in place..<last { pairs[index] = pairs[index &+ 1] }
            if place < last { pairs[place] = merges.merge(tokens[place], tokens[place &+ 1]) }
            if place > 0 { pairs[place &- 1] = merges.merge(tokens[place &- 1], tokens[place]) }
        }
        return last &+ 1
    }
}
