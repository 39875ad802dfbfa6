/// Learns merges: again and again the most frequent pair of neighbours becomes a symbol.
///
/// Of equally frequent pairs the one with the smaller left symbol goes first, then the smaller right one, as in the
/// Python package `tokenizers`; its bookkeeping is followed throughout, so that the same counts give the same merges:
///
/// 1. A queue holds pairs with the count they had and the words they were seen in when they were queued.
/// 2. The first is taken. If its count is out of date it is queued again with the right one.
/// 3. In its words the pair becomes its symbol. Neighbours lose and gain accordingly.
/// 4. Pairs that gained are queued with the words in which they did.
///
/// A pair can be in the queue twice, when a symbol that was there before is made in another way; it is then learned
/// twice, and its later place counts.
struct PairMerger {
    /// A pair and the symbol it becomes.
    struct Merge: Equatable {
        var left: Int32
        var right: Int32
        var symbol: Int32
    }

    /// What a pair may become, and how pairs of the same count are ordered.
    protocol Rules {
        /// The symbol of a pair; nil when it may not be merged. Called once for each merge, and makes new symbols.
        mutating func symbol(_ left: Int32, _ right: Int32) -> Int32?
        /// Whether the pair may be merged at all.
        func allows(_ left: Int32, _ right: Int32) -> Bool
        /// Whether, at the same count, the first pair goes before the second.
        func precedes(_ first: UInt64, _ second: UInt64) -> Bool
        /// Whether there are enough symbols.
        var isComplete: Bool { get }
    }

    private struct Entry {
        var count: Int
        var pair: Int32
        /// Which list of words belongs to it.
        var list: Int32
    }

    private var symbols: [Int32]
    private var starts: [Int]
    private var lengths: [Int32]
    private let wordCounts: [Int]
    private var pairs = PairCounts()
    private var heap: [Entry] = []
    private var lists: [[Int32]] = []
    private var freeLists: [Int32] = []
    /// By pair: where its words of the present step lie in `lists`, -1 for none.
    private var gains: [Int32] = []

    /// Words as symbols, one after the other.
    /// - Parameters:
    ///   - symbols: of all words
    ///   - lengths: of each word
    ///   - counts: of each word
    init(symbols: [Int32], lengths: [Int32], counts: [Int]) {
        (self.symbols, self.lengths, wordCounts) = (symbols, lengths, counts)
        starts = []
        starts.reserveCapacity(lengths.count)
        var start = 0
        for length in lengths {
            starts.append(start)
            start += Int(length)
        }
    }

    /// Learns merges until the rules say that it is enough or no pair is frequent enough.
    /// - Parameters:
    ///   - minimum: pairs that occur less often are not merged; at least 1
    ///   - progress: called now and then with the number of merges; false stops
    /// - Returns: the merges in order, or nil when it was stopped
    mutating func learn<R: Rules>(
        _ rules: inout R, minimum: Int, progress: (Int) -> Bool
    ) -> [Merge]? {
        countPairs(rules)
        var merges: [Merge] = []
        var (last, number): ([UInt64: Int], Int) = ([:], 0)
        while !rules.isComplete, let entry = pop(rules) {
            let count = pairs.counts[Int(entry.pair)]
            if entry.count != count {
                push(Entry(count: count, pair: entry.pair, list: entry.list), rules)
                continue
            }
            guard entry.count >= max(1, minimum) else { break }
            let pair = pairs.pairs[Int(entry.pair)]
            let (left, right) = (Int32(truncatingIfNeeded: pair >> 32), Int32(truncatingIfNeeded: pair))
            let words = take(entry.list)
            guard let symbol = rules.symbol(left, right) else { continue }
            let merge = Merge(left: left, right: right, symbol: symbol)
            if let earlier = last[pair] { merges[earlier].symbol = -1 }
            last[pair] = merges.count
            merges.append(merge)
            apply(merge, to: words, rules)
            number += 1
            if number & 63 == 0, !progress(number) { return nil }
        }
        return merges.filter { $0.symbol >= 0 }
    }

    // MARK: Counting

    private mutating func countPairs<R: Rules>(_ rules: R) {
        var touched: [Int32] = []
        for word in lengths.indices {
            let (start, length, count) = (starts[word], Int(lengths[word]), wordCounts[word])
            for index in start..<start + max(0, length - 1) {
                guard rules.allows(symbols[index], symbols[index + 1]) else { continue }
                gain(symbols[index], symbols[index + 1], count, Int32(word), &touched)
            }
        }
        queue(&touched, rules)
    }

    /// Adds to a pair's count and notes the word.
    @inline(__always)
    private mutating func gain(_ left: Int32, _ right: Int32, _ count: Int, _ word: Int32, _ touched: inout [Int32]) {
        let pair = pairs.number(left, right)
        pairs.counts[pair] += count
        while gains.count <= pair { gains.append(-1) }
        if gains[pair] < 0 {
            gains[pair] = freeLists.popLast() ?? Int32(lists.count)
            if Int(gains[pair]) == lists.count { lists.append([]) }
            touched.append(Int32(pair))
        }
        let list = Int(gains[pair])
        if lists[list].last != word { lists[list].append(word) }
    }

    /// Queues the pairs that gained.
    private mutating func queue<R: Rules>(_ touched: inout [Int32], _ rules: R) {
        for pair in touched {
            let list = gains[Int(pair)]
            gains[Int(pair)] = -1
            if pairs.counts[Int(pair)] > 0 {
                push(Entry(count: pairs.counts[Int(pair)], pair: pair, list: list), rules)
            } else {
                _ = take(list)
            }
        }
        touched.removeAll(keepingCapacity: true)
    }

    private mutating func take(_ list: Int32) -> [Int32] {
        var words: [Int32] = []
        swap(&words, &lists[Int(list)])
        freeLists.append(list)
        return words
    }

    // MARK: Merging

    private mutating func apply<R: Rules>(_ merge: Merge, to words: [Int32], _ rules: R) {
        var touched: [Int32] = []
        for word in words {
            let (start, end, count) = (
                starts[Int(word)], starts[Int(word)] + Int(lengths[Int(word)]), wordCounts[Int(word)]
            )
            var (read, write) = (start, start)
            while read < end {
                guard symbols[read] == merge.left, read + 1 < end, symbols[read + 1] == merge.right else {
                    if read != write { symbols[write] = symbols[read] }
                    read += 1
                    write += 1
                    continue
                }
                read += 2
                if write > start {
                    change(symbols[write - 1], merge.left, merge.symbol, true, count, word, &touched, rules)
                }
                symbols[write] = merge.symbol
                write += 1
                if read < end {
                    change(symbols[read], merge.right, merge.symbol, false, count, word, &touched, rules)
                }
            }
            lengths[Int(word)] = Int32(write - start)
        }
        queue(&touched, rules)
    }

    /// The neighbour of a merged pair loses its pair with the old symbol and gains one with the new.
    @inline(__always)
    private mutating func change<R: Rules>(
        _ neighbour: Int32, _ old: Int32, _ new: Int32, _ isBefore: Bool, _ count: Int, _ word: Int32,
        _ touched: inout [Int32], _ rules: R
    ) {
        let (left, right) = isBefore ? (neighbour, old) : (old, neighbour)
        if rules.allows(left, right) { pairs.counts[pairs.number(left, right)] -= count }
        let (newLeft, newRight) = isBefore ? (neighbour, new) : (new, neighbour)
        if rules.allows(newLeft, newRight) { gain(newLeft, newRight, count, word, &touched) }
    }

    // MARK: The queue, a binary heap

    @inline(__always)
    private func goesBefore<R: Rules>(_ first: Entry, _ second: Entry, _ rules: R) -> Bool {
        if first.count != second.count { return first.count > second.count }
        return rules.precedes(pairs.pairs[Int(first.pair)], pairs.pairs[Int(second.pair)])
    }

    private mutating func push<R: Rules>(_ entry: Entry, _ rules: R) {
        heap.append(entry)
        var child = heap.count - 1
        while child > 0, goesBefore(entry, heap[(child - 1) / 2], rules) {
            heap[child] = heap[(child - 1) / 2]
            child = (child - 1) / 2
        }
        heap[child] = entry
    }

    private mutating func pop<R: Rules>(_ rules: R) -> Entry? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        guard !heap.isEmpty else { return first }
        var parent = 0
        while 2 * parent + 1 < heap.count {
            var child = 2 * parent + 1
            if child + 1 < heap.count, goesBefore(heap[child + 1], heap[child], rules) { child += 1 }
            guard goesBefore(heap[child], last, rules) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return first
    }
}
