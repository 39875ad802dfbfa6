/// Tokens that grow at their end and keep their memory when they are emptied.
struct TokenBuffer: ~Copyable {
    private var base: UnsafeMutablePointer<Int32>
    private(set) var count = 0
    private var capacity = 1 << 12

    init() { base = .allocate(capacity: capacity) }

    deinit { base.deallocate() }

    /// The tokens, valid until more are appended.
    var tokens: UnsafeBufferPointer<Int32> { UnsafeBufferPointer(start: base, count: count) }

    /// Appends a token.
    @inline(__always)
    mutating func append(_ token: Int32) {
        if count == capacity { grow(1) }
        base[count] = token
        count += 1
    }

    /// Appends tokens.
    @inline(__always)
    mutating func append(_ tokens: UnsafeBufferPointer<Int32>) {
        if capacity - count < tokens.count { grow(tokens.count) }
        for token in tokens {
            base[count] = token
            count += 1
        }
    }

    /// Appends a word's tokens; an unknown token that would follow another is left out.
    @inline(__always)
    mutating func append(word tokens: UnsafeBufferPointer<Int32>, unknown: Int32) {
        let isRun = unknown >= 0 && count > 0 && base[count - 1] == unknown && tokens.first == unknown
        append(isRun ? UnsafeBufferPointer(rebasing: tokens.dropFirst()) : tokens)
    }

    /// Drops all tokens, and memory beyond 16 MiB.
    mutating func removeAll() {
        count = 0
        if capacity > 4 << 20 { self = TokenBuffer() }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        let wanted = max(2 * capacity, count + more)
        let new = UnsafeMutablePointer<Int32>.allocate(capacity: wanted)
        new.update(from: base, count: count)
        base.deallocate()
        (base, capacity) = (new, wanted)
    }
}
