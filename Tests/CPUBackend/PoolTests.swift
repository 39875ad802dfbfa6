import Foundation
import GDNTensor
import Synchronization
import Testing

import GDNCPUBackend

private final class Counter: Sendable {
    let value = Atomic(0)
}

@Suite struct PoolTests {
    @Test(arguments: [1, 2, 3, 8]) func everyTaskRunsOnce(threads: Int) {
        let cpu = CPUBackend(threads: threads)
        for count in [0, 1, 2, 3, 17, 1000] {
            let runs = cpu.zeros([max(1, count)], .int32)
            for _ in 0..<20 { cpu.parallel(count) { runs.int32s[$0] += 1 } }
            #expect(runs.int32Array() == Array(repeating: count == 0 ? 0 : 20, count: max(1, count)))
        }
    }

    @Test func nestedCallsRunWhereTheyAre() {
        let cpu = CPUBackend(threads: 3)
        let runs = cpu.zeros([8, 8], .int32)
        cpu.parallel(8) { outer in
            cpu.parallel(8) { inner in runs.int32s[outer * 8 + inner] += 1 }
        }
        #expect(runs.int32Array().allSatisfy { $0 == 1 })
    }

    @Test func callsOfSeveralThreadsTakeTurns() async {
        let cpu = CPUBackend(threads: 2)
        let total = Counter()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<200 { cpu.parallel(5) { _ in total.value.add(1, ordering: .relaxed) } }
                }
            }
        }
        #expect(total.value.load(ordering: .relaxed) == 4 * 200 * 5)
    }

    /// A thread whose share is done takes over what others have left: here all of it lies in one share.
    @Test func idleThreadsHelp() {
        let cpu = CPUBackend(threads: 4)
        let (seen, together) = (Counter(), Counter())
        cpu.parallel(8) { task in
            seen.value.add(1, ordering: .relaxed)
            // The first task of a share of two waits until all others are done; ten seconds at most.
            for _ in 0..<100_000 where task == 0 && seen.value.load(ordering: .relaxed) < 8 { usleep(100) }
            if task == 0 { together.value.add(seen.value.load(ordering: .relaxed), ordering: .relaxed) }
        }
        #expect(together.value.load(ordering: .relaxed) == 8)
    }

    @Test func piecesCoverTheRange() {
        let cpu = CPUBackend(threads: 2)
        let seen = cpu.zeros([1001], .int32)
        cpu.parallel(1001, grain: 10) { range in for index in range { seen.int32s[index] += 1 } }
        #expect(seen.int32Array().allSatisfy { $0 == 1 })
    }
}
