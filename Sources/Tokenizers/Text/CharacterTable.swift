/// The class of every character, by two look-ups in a table that is made once.
///
/// Code points are cut into pages of 128; equal pages are kept once (Unicode 16.0: about 40 KB).
final class CharacterTable: @unchecked Sendable {
    /// What a character is; several bits for none.
    struct Class {
        static let upper: UInt8 = 1  // Lu, Lt
        static let lower: UInt8 = 2  // Ll
        static let otherLetter: UInt8 = 4  // Lm, Lo
        static let letter = upper | lower | otherLetter  // \p{L}
        static let mark: UInt8 = 8  // \p{M}
        static let number: UInt8 = 16  // \p{N}
        static let white: UInt8 = 32  // \s: White_Space
        static let newline: UInt8 = 64  // \r and \n, which are white too
        /// Normalization may change the character or its surroundings.
        static let unsettled: UInt8 = 128
    }

    /// The one table.
    static let shared = CharacterTable()

    /// For each page, where its classes begin in `classes`.
    let pages: UnsafePointer<UInt32>
    /// Classes of the pages; the first 128 are those of ASCII.
    let classes: UnsafePointer<UInt8>

    private init() {
        var flat = [UInt8](repeating: 0, count: 0x110000)
        let bits: [UInt8] = [
            0, Class.upper, Class.lower, Class.otherLetter, Class.mark, Class.number, Class.white, 0,
        ]
        var reader = UnicodeTableReader(UnicodeTables.classes)
        var place = 0
        while !reader.isAtEnd {
            let value = bits[reader.number() & 7]
            let end = min(flat.count, place + reader.number())
            if value != 0 { for code in place..<end { flat[code] = value } }
            place = end
        }
        flat[0x0a] |= Class.newline
        flat[0x0d] |= Class.newline
        for code in Normalization.shared.unsettled { flat[code] |= Class.unsettled }

        var known: [[UInt8]: UInt32] = [:]
        var (starts, distinct) = ([UInt32](), [UInt8]())
        for start in stride(from: 0, to: flat.count, by: 128) {
            let page = Array(flat[start..<start + 128])
            let place = known[page] ?? UInt32(distinct.count)
            if place == distinct.count {
                known[page] = place
                distinct += page
            }
            starts.append(place)
        }
        pages = UnsafePointer(Self.copy(starts))
        classes = UnsafePointer(Self.copy(distinct))
    }

    deinit {
        pages.deallocate()
        classes.deallocate()
    }

    /// The class of a code point below 0x110000.
    @inline(__always)
    func of(_ code: UInt32) -> UInt8 {
        classes[Int(pages[Int(code >> 7)] &+ (code & 127))]
    }

    private static func copy<Element>(_ values: [Element]) -> UnsafeMutablePointer<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: values.count)
        for (index, value) in values.enumerated() { (memory + index).initialize(to: value) }
        return memory
    }
}

/// Walks over bytes that are UTF-8, character by character.
struct CharacterScanner {
    let base: UnsafePointer<UInt8>
    let end: Int
    private let pages: UnsafePointer<UInt32>
    private let classes: UnsafePointer<UInt8>

    /// Looks at `count` bytes from `base` on, which must be UTF-8 and outlive this value.
    init(_ base: UnsafePointer<UInt8>, _ end: Int) {
        self.base = base
        self.end = end
        pages = CharacterTable.shared.pages
        classes = CharacterTable.shared.classes
    }

    /// The class of the character that begins at `index`, and where the next one begins.
    @inline(__always)
    func look(_ index: Int) -> (kind: UInt8, next: Int) {
        let lead = base[index]
        if lead < 0x80 { return (classes[Int(lead)], index &+ 1) }
        let (code, next) = scalar(index)
        return (classes[Int(pages[Int(code >> 7)] &+ (code & 127))], next)
    }

    /// The code point at `index`, where the bytes are no ASCII, and where the next one begins.
    ///
    /// A character cut off by the end reads as U+FFFD; nothing behind the end is touched.
    @inline(__always)
    func scalar(_ index: Int) -> (code: UInt32, next: Int) {
        let lead = UInt32(base[index])
        let length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
        guard index &+ length <= end else { return (0xfffd, end) }
        let second = UInt32(base[index &+ 1]) & 63
        if length == 2 { return ((lead & 31) << 6 | second, index &+ 2) }
        let third = UInt32(base[index &+ 2]) & 63
        if length == 3 { return ((lead & 15) << 12 | second << 6 | third, index &+ 3) }
        let code = (lead & 7) << 18 | second << 12 | third << 6 | UInt32(base[index &+ 3]) & 63
        return (code < 0x110000 ? code : 0xfffd, index &+ 4)
    }

    /// Where the run of characters of these classes that begins at `index` ends.
    @inline(__always)
    func run(_ mask: UInt8, from index: Int) -> Int {
        var index = index
        while index < end {
            let (kind, next) = look(index)
            if kind & mask == 0 { break }
            index = next
        }
        return index
    }

    /// Where the run of characters of none of these classes that begins at `index` ends.
    @inline(__always)
    func run(not mask: UInt8, from index: Int) -> Int {
        var index = index
        while index < end {
            let (kind, next) = look(index)
            if kind & mask != 0 { break }
            index = next
        }
        return index
    }
}
