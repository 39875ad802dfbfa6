/// A set of byte strings with a number each, made for finding those a text begins with.
///
/// A double array (Aoe 1989): node `s` has the child `base[s] + byte` if that node's `parent` is `s`.
struct ByteTrie: Sendable {
    /// One node.
    struct Node: Sendable {
        /// Where the children lie, by their bytes.
        var base: Int32
        /// The node whose child this is; -1 for a free place.
        var parent: Int32
        /// The number of the string that ends here; -1 for none.
        var value: Int32
    }

    /// All nodes; the first is the root. 256 free ones follow the last, so that a child's place is always inside.
    private(set) var nodes: [Node]

    /// Makes the set.
    /// - Parameter strings: non-empty and distinct, each with a number from 0 on
    init(_ strings: [(key: [UInt8], value: Int32)]) {
        let sorted = strings.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        nodes = [Node(base: 0, parent: 0, value: -1)]
        var free = 1  // All places below are taken.
        var work: [(node: Int, strings: Range<Int>, depth: Int)] = [(0, 0..<sorted.count, 0)]
        while let (node, range, depth) = work.popLast() {
            var children: [(byte: UInt8, strings: Range<Int>)] = []
            var index = range.lowerBound
            if index < range.upperBound, sorted[index].key.count == depth {
                nodes[node].value = sorted[index].value
                index += 1
            }
            while index < range.upperBound {
                let byte = sorted[index].key[depth]
                let start = index
                while index < range.upperBound, sorted[index].key[depth] == byte { index += 1 }
                children.append((byte, start..<index))
            }
            guard !children.isEmpty else { continue }
            let base = place(children.map { Int($0.byte) }, &free)
            nodes[node].base = Int32(base)
            for child in children {
                nodes[base + Int(child.byte)].parent = Int32(node)
                work.append((base + Int(child.byte), child.strings, depth + 1))
            }
        }
        extend(to: nodes.count + 256)
    }

    /// The first base from which the places of all bytes are free.
    private mutating func place(_ bytes: [Int], _ free: inout Int) -> Int {
        while free < nodes.count, nodes[free].parent >= 0 { free += 1 }
        var first = free
        while true {
            let base = first - bytes[0]
            if base >= 0, bytes.allSatisfy({ base + $0 >= nodes.count || nodes[base + $0].parent < 0 }) {
                extend(to: base + bytes[bytes.count - 1] + 1)
                // Free places far behind are given up, so that no search walks over all that is taken.
                free = max(free, first - 256)
                return base
            }
            first += 1
            while first < nodes.count, nodes[first].parent >= 0 { first += 1 }
        }
    }

    private mutating func extend(to count: Int) {
        while nodes.count < count { nodes.append(Node(base: 0, parent: -1, value: -1)) }
    }

    /// The longest string that `text` begins with.
    func longest(_ text: UnsafeRawBufferPointer) -> (length: Int, value: Int32)? {
        nodes.withUnsafeBufferPointer { nodes in
            var (node, found): (Int, (Int, Int32)?) = (0, nil)
            for (position, byte) in text.enumerated() {
                let child = Int(nodes[node].base) + Int(byte)
                guard nodes[child].parent == node, child != 0 else { break }
                node = child
                if nodes[node].value >= 0 { found = (position + 1, nodes[node].value) }
            }
            return found
        }
    }
}
