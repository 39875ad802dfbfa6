/// Merges the tokens of a long word in O(n log n): a linked list of tokens, a heap of their pairs.
///
/// The heap's keys are rank and place, so that of equal pairs the first comes first. A key is out of date when the
/// pair at its place has another rank meanwhile; it is dropped then, for every pair that arises gets a key of its own.
struct LongWordMerger {
    private var heap: [UInt64] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var pairs: [UInt64] = []

    /// Merges in place.
    /// - Parameters:
    ///   - tokens: of a word
    ///   - count: how many, below 2³¹
    /// - Returns: how many are left.
    mutating func merge(_ tokens: UnsafeMutablePointer<Int32>, _ count: Int, _ merges: PairTable) -> Int {
        heap.removeAll(keepingCapacity: true)
        next = (0..<count).map { $0 + 1 < count ? Int32($0 + 1) : -1 }
        previous = (0..<count).map { Int32($0 - 1) }
        pairs = [UInt64](repeating: PairTable.none, count: count)
        for place in 0..<count - 1 { renew(place, tokens, merges) }
        while let key = pop() {
            let place = Int(key & 0xffff_ffff)
            let pair = pairs[place]
            guard pair != PairTable.none, pair >> 32 == key >> 32, next[place] >= 0 else { continue }
            let taken = Int(next[place])
            tokens[place] = Int32(truncatingIfNeeded: pair)
            pairs[taken] = PairTable.none
            next[place] = next[taken]
            if next[taken] >= 0 { previous[Int(next[taken])] = Int32(place) }
            next[taken] = -1
            renew(place, tokens, merges)
            if previous[place] >= 0 { renew(Int(previous[place]), tokens, merges) }
        }
        var (place, number) = (0, 0)
        while place >= 0 {
            tokens[number] = tokens[place]
            number += 1
            place = Int(next[place])
        }
        release()
        return number
    }

    /// Looks up the pair that begins at a place, which is still in the list.
    private mutating func renew(_ place: Int, _ tokens: UnsafeMutablePointer<Int32>, _ merges: PairTable) {
        let behind = next[place]
        pairs[place] = behind < 0 ? PairTable.none : merges.merge(tokens[place], tokens[Int(behind)])
        if pairs[place] != PairTable.none { push((pairs[place] >> 32) << 32 | UInt64(place)) }
    }

    /// Gives back the memory of a very long word.
    private mutating func release() {
        if next.count > 1 << 16 { self = LongWordMerger() }
    }

    private mutating func push(_ key: UInt64) {
        heap.append(key)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard key < heap[parent] else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = key
    }

    private mutating func pop() -> UInt64? {
        guard let first = heap.first, let key = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first }
        var parent = 0
        while true {
            var child = parent * 2 + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
            guard heap[child] < key else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = key
        return first
    }
}
