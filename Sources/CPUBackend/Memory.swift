import GDNTensor

/// Main memory for tensors: freed blocks are kept by size and handed out again, because fresh pages from the system
/// cost more than most operations that fill them.
///
/// With `poison` every block is filled with 0xff (NaN in every floating-point dtype) when it is handed out and when it
/// comes back, and lies between guard bytes that are compared when it comes back.
package final class CPUMemory: Sendable {
    private struct State {
        var free: [Int: [UnsafeMutableRawPointer]] = [:]
        var live: [UnsafeMutableRawPointer: Int] = [:]
        var bytesInUse = 0
        var peakBytes = 0
        var cachedBytes = 0
        var violations = 0
    }
    private let state = Guarded(State())
    private let cacheLimit: Int
    /// Whether fresh memory is poisoned and guarded.
    package let poison: Bool

    private static let guardBytes = 128
    private static let guardValue: UInt8 = 0xa5
    private static let hugePage = 2 << 20

    /// Memory that keeps at most `cacheLimit` freed bytes.
    init(cacheLimit: Int, poison: Bool) {
        self.cacheLimit = cacheLimit
        self.poison = poison
    }

    deinit {
        releaseCachedMemory()
    }

    /// Bytes of all live tensors, rounded up to the blocks they lie in.
    package var bytesInUse: Int { state.withLock { $0.bytesInUse } }
    /// The most that `bytesInUse` has been.
    package var peakBytes: Int { state.withLock { $0.peakBytes } }
    /// Freed bytes kept for later tensors.
    package var cachedBytes: Int { state.withLock { $0.cachedBytes } }

    /// Starts `peakBytes` again from what is in use now.
    package func resetPeak() {
        state.withLock { $0.peakBytes = $0.bytesInUse }
    }

    /// Gives all kept blocks back to the system.
    package func releaseCachedMemory() {
        let blocks = state.withLock { state in
            let blocks = state.free.values.flatMap { $0 }.map { UInt(bitPattern: $0) }
            state.free = [:]
            state.cachedBytes = 0
            return blocks
        }
        for block in blocks { UnsafeMutableRawPointer(bitPattern: block)?.deallocate() }
    }

    /// How many tensors, dead or alive, have had a guard byte overwritten. 0 unless poisoned.
    package var guardViolations: Int {
        state.withLock { state in
            state.violations + state.live.count { !CPUMemory.guardsAreIntact($0.key, byteCount: $0.value) }
        }
    }

    /// Uninitialised bytes that return here when the storage dies.
    func storage(byteCount: Int) -> Storage {
        let requested = max(64, byteCount)
        let address = poison ? guarded(requested) : block(CPUMemory.sizeClass(requested))
        return Storage(address: address, byteCount: requested, device: .cpu) { [self] address, byteCount in
            if poison { return freeGuarded(address, byteCount) }
            free(address, CPUMemory.sizeClass(byteCount))
        }
    }

    /// The next size of the form (8…15) · 2ⁿ: at most an eighth is wasted.
    static func sizeClass(_ byteCount: Int) -> Int {
        let step = max(64, 1 << max(0, Int.bitWidth - (byteCount - 1).leadingZeroBitCount - 4))
        return (byteCount + step - 1) / step * step
    }

    private func block(_ size: Int) -> UnsafeMutableRawPointer {
        let kept = state.withLock { state in
            state.bytesInUse += size
            state.peakBytes = max(state.peakBytes, state.bytesInUse)
            guard let block = state.free[size]?.popLast() else { return UInt(0) }
            state.cachedBytes -= size
            return UInt(bitPattern: block)
        }
        if let block = UnsafeMutableRawPointer(bitPattern: kept) { return block }
        guard size >= 2 * CPUMemory.hugePage else { return .allocate(byteCount: size, alignment: 64) }
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: CPUMemory.hugePage)
        #if os(Linux)
            madvise(fresh, size, Int32(MADV_HUGEPAGE))
        #endif
        return fresh
    }

    private func free(_ address: UnsafeMutableRawPointer, _ size: Int) {
        let bits = UInt(bitPattern: address)
        let keeps = state.withLock { state in
            state.bytesInUse -= size
            guard state.cachedBytes + size <= cacheLimit, let block = UnsafeMutableRawPointer(bitPattern: bits) else {
                return false
            }
            state.free[size, default: []].append(block)
            state.cachedBytes += size
            return true
        }
        if !keeps { address.deallocate() }
    }
}

extension CPUMemory {
    private func guarded(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let whole = byteCount + 2 * CPUMemory.guardBytes
        let address = block(CPUMemory.sizeClass(whole)) + CPUMemory.guardBytes
        memset(address - CPUMemory.guardBytes, Int32(CPUMemory.guardValue), whole)
        memset(address, 0xff, byteCount)
        let bits = UInt(bitPattern: address)
        state.withLock { state in
            if let address = UnsafeMutableRawPointer(bitPattern: bits) { state.live[address] = byteCount }
        }
        return address
    }

    private func freeGuarded(_ address: UnsafeMutableRawPointer, _ byteCount: Int) {
        let intact = CPUMemory.guardsAreIntact(address, byteCount: byteCount)
        let bits = UInt(bitPattern: address)
        state.withLock { state in
            if let address = UnsafeMutableRawPointer(bitPattern: bits) { state.live[address] = nil }
            if !intact { state.violations += 1 }
        }
        memset(address, 0xff, byteCount)
        free(address - CPUMemory.guardBytes, CPUMemory.sizeClass(byteCount + 2 * CPUMemory.guardBytes))
    }

    private static func guardsAreIntact(_ address: UnsafeMutableRawPointer, byteCount: Int) -> Bool {
        (0..<guardBytes).allSatisfy { offset in
            (address - 1 - offset).load(as: UInt8.self) == guardValue
                && (address + byteCount + offset).load(as: UInt8.self) == guardValue
        }
    }
}
