import GDNTensor
import Testing

import GDNCUDABackend

@Suite struct PendingModulesTests {
    private func request(_ key: String) -> Rehearsal.Request {
        Rehearsal.Request(key: key, source: KernelSource(name: key, []), options: [])
    }

    /// Every module is compiled once and given out once; one that nobody asked for is not there.
    @Test func eachIsCompiledOnce() throws {
        let compiled = Guarded<[String]>([])
        let modules = PendingModules(threads: 4) { request in
            compiled.withLock { $0.append(request.key) }
            return Array(request.key.utf8)
        }
        let keys = (0..<50).map { "kernel \($0)" }
        modules.add(keys.map(request))
        modules.add(keys.map(request))
        for key in keys.reversed() { #expect(try modules.take(key) == Array(key.utf8)) }
        #expect(try modules.take(keys[0]) == nil)
        #expect(try modules.take("another") == nil)
        modules.stop()
        #expect(compiled.withLock { $0.sorted() } == keys.sorted())
    }

    /// An error belongs to its module: it is thrown whenever that one is asked for, and the others are there.
    @Test func failureStaysWithItsModule() throws {
        let attempts = Guarded(0)
        let modules = PendingModules(threads: 2) { request in
            guard request.key == "wrong" else { return [1] }
            attempts.withLock { $0 += 1 }
            throw BackendError("line 7")
        }
        modules.add(["right", "wrong", "right too"].map(request))
        for _ in 0..<2 { #expect(throws: BackendError("line 7")) { try modules.take("wrong") } }
        #expect(try modules.take("right") == [1])
        #expect(try modules.take("right too") == [1])
        modules.stop()
        #expect(attempts.withLock { $0 } == 1)
    }

    /// Who needs a module waits for that one alone, not for those before it.
    @Test func laterModuleDoesNotWaitForAnEarlierOne() throws {
        let gate = Monitor(false)
        let modules = PendingModules(threads: 1) { request in
            if request.key == "slow" { gate.wait { $0 ? () : nil } }
            return [1]
        }
        modules.add(["slow", "quick"].map(request))
        #expect(try modules.take("quick") == [1])
        gate.change { $0 = true }
        #expect(try modules.take("slow") == [1])
        modules.stop()
    }

    /// A program that ends early does not compile what is left.
    @Test func stopLeavesOutWhatWasNotStarted() throws {
        let gate = Monitor((started: 0, isOpen: false))
        let modules = PendingModules(threads: 1) { _ in
            gate.change { $0.started += 1 }
            gate.wait { $0.isOpen ? () : nil }
            return [1]
        }
        modules.add((0..<100).map { request("kernel \($0)") })
        gate.wait { $0.started > 0 ? () : nil }
        modules.cancel()
        gate.change { $0.isOpen = true }
        modules.stop()
        #expect(gate.change { $0.started } == 1)
        #expect(try modules.take("kernel 50") == nil)
    }
}
