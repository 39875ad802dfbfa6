/// The symbols of a text and the merges possible among them, best first.
struct MergeHeap {
    /// What an unused piece was last found to be merged from.
    struct Parts {
        var left: Int32
        var leftLength: Int
        var right: Int32
    }

    /// A possible merge; expired when one of its symbols has changed.
    private struct Candidate {
        /// The rank, then the left symbol's place: smaller is better.
        var order: UInt64
        var right: Int32
        var symbol: Int32
        var length: Int
        var left: Int { Int(truncatingIfNeeded: order & 0xffff_ffff) }
    }

    /// By place: the symbol; those merged into the one before have no length.
    private(set) var symbols: [Int32] = []
    /// By place: the next one's place, -1 at the end.
    private(set) var next: [Int32] = []
    private var previous: [Int32] = []
    private var starts: [Int] = []
    private var lengths: [Int] = []
    private var isFrozen: [Bool] = []
    private var heap: [Candidate] = []

    mutating func removeAll() {
        symbols.removeAll(keepingCapacity: true)
        next.removeAll(keepingCapacity: true)
        previous.removeAll(keepingCapacity: true)
        starts.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        isFrozen.removeAll(keepingCapacity: true)
        heap.removeAll(keepingCapacity: true)
    }

    /// Appends a symbol.
    mutating func append(_ symbol: Int32, start: Int, isFrozen: Bool) {
        symbols.append(symbol)
        starts.append(start)
        self.isFrozen.append(isFrozen)
    }

    /// Where a symbol's text lies.
    func range(_ place: Int, end: Int) -> Range<Int> {
        let following = Int(next[place])
        return starts[place]..<(following < 0 ? end : starts[following])
    }

    /// Merges until nothing merges.
    /// - Returns: what unused pieces were merged from, as last seen
    mutating func mergeAll(_ rules: SentencePieceSymbols, end: Int) -> [Int32: Parts] {
        let count = symbols.count
        next = (0..<count).map { $0 + 1 < count ? Int32($0 + 1) : -1 }
        previous = (0..<count).map { Int32($0 - 1) }
        lengths = (0..<count).map { ($0 + 1 < count ? starts[$0 + 1] : end) - starts[$0] }
        var apart: [Int32: Parts] = [:]
        for place in 0..<max(0, count - 1) { push(Int32(place), Int32(place + 1), rules, &apart) }
        while let best = pop() {
            let (left, right) = (best.left, Int(best.right))
            guard lengths[left] > 0, lengths[right] > 0, lengths[left] + lengths[right] == best.length else { continue }
            symbols[left] = best.symbol
            lengths[left] = best.length
            lengths[right] = 0
            next[left] = next[right]
            if next[right] >= 0 { previous[Int(next[right])] = Int32(left) }
            push(previous[left], Int32(left), rules, &apart)
            push(Int32(left), next[left], rules, &apart)
        }
        return apart
    }

    private mutating func push(
        _ left: Int32, _ right: Int32, _ rules: SentencePieceSymbols, _ apart: inout [Int32: Parts]
    ) {
        guard left >= 0, right >= 0, !isFrozen[Int(left)], !isFrozen[Int(right)],
            let merge = rules.merge(symbols[Int(left)], symbols[Int(right)])
        else { return }
        if rules.isUnused[Int(merge.symbol)] {
            apart[merge.symbol] = Parts(
                left: symbols[Int(left)], leftLength: lengths[Int(left)], right: symbols[Int(right)])
        }
        heap.append(
            Candidate(
                order: UInt64(merge.rank) << 32 | UInt64(left), right: right, symbol: merge.symbol,
                length: lengths[Int(left)] + lengths[Int(right)]))
        var child = heap.count - 1
        while child > 0, heap[child].order < heap[(child - 1) / 2].order {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    private mutating func pop() -> Candidate? {
        guard let best = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return best }
        heap[0] = last
        var parent = 0
        while 2 * parent + 1 < heap.count {
            var child = 2 * parent + 1
            if child + 1 < heap.count, heap[child + 1].order < heap[child].order { child += 1 }
            guard heap[child].order < heap[parent].order else { break }
            heap.swapAt(child, parent)
            parent = child
        }
        return best
    }
}
