import GDNTensor

/// Compiled kernels on their way: made by several threads in the order they were asked for, each waited for by whoever
/// needs it.
///
/// A module that could not be compiled keeps its error, and is not tried again. A compiled one leaves with the first who
/// takes it, so what is held is what was compiled ahead.
package final class PendingModules: Sendable {
    private enum Module {
        case queued(Rehearsal.Request)
        case running
        case compiled([UInt8])
        case failed(any Error)
    }
    private struct State {
        var modules: [String: Module] = [:]
        var threads: [pthread_t] = []
        var isStopped = false
    }
    private let state = Monitor(State())
    private let threadCount: Int
    private let compile: @Sendable (Rehearsal.Request) throws -> [UInt8]

    /// - Parameters:
    ///   - threads: how many modules are compiled at a time, beside those that somebody waits for
    ///   - compile: called on any thread
    package init(threads: Int, _ compile: @escaping @Sendable (Rehearsal.Request) throws -> [UInt8]) {
        threadCount = threads
        self.compile = compile
    }

    /// Asks for modules; those asked for before and not taken yet are left out.
    package func add(_ requests: [Rehearsal.Request]) {
        let new = state.change { state in
            requests.filter { request in
                guard !state.isStopped, state.modules[request.key] == nil else { return false }
                state.modules[request.key] = .queued(request)
                return true
            }
        }
        guard !new.isEmpty else { return }
        let work = Work { [self] in
            concurrently(new.count, threads: threadCount) { [self] index in settle(new[index].key) }
        }
        // Without a thread each module is compiled by who needs it.
        if let thread = work.start() { state.change { $0.threads.append(thread) } }
    }

    /// A module's code once it is there; nil when nobody asked for it, or it was taken before. One whose turn has not
    /// come is compiled here.
    /// - Throws: what its compilation threw.
    package func take(_ key: String) throws -> [UInt8]? {
        settle(key)
        let module = state.wait(waking: .nobody) { state -> Module?? in
            switch state.modules[key] {
            case nil, .queued: return .some(nil)
            case .running: return nil
            case .failed(let error): return .failed(error)
            case .compiled(let code):
                state.modules[key] = nil
                return .compiled(code)
            }
        }
        switch module {
        case .compiled(let code): return code
        case .failed(let error): throw error
        default: return nil
        }
    }

    /// Leaves out what has not been started.
    package func cancel() { state.change { $0.isStopped = true } }

    /// Leaves out what has not been started and waits for what has.
    package func stop() {
        cancel()
        let threads = state.change { state in
            defer { state.threads = [] }
            return state.threads
        }
        for thread in threads { pthread_join(thread, nil) }
    }

    /// Compiles a module unless another thread has.
    private func settle(_ key: String) {
        let request = state.change(waking: .nobody) { state -> Rehearsal.Request? in
            guard !state.isStopped, case .queued(let request) = state.modules[key] else { return nil }
            state.modules[key] = .running
            return request
        }
        guard let request else { return }
        let result = Result { try compile(request) }
        state.change { state in
            switch result {
            case .success(let code): state.modules[key] = .compiled(code)
            case .failure(let error): state.modules[key] = .failed(error)
            }
        }
    }
}

private final class Work: Sendable {
    private let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }

    /// Runs on a thread of its own, to be joined; nil when there is none to be had.
    func start() -> pthread_t? {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, nil,
            { box in
                if let box { Unmanaged<Work>.fromOpaque(box).takeRetainedValue().run() }
                return nil
            }, box.toOpaque())
        if status != 0 { box.release() }
        return status == 0 ? thread : nil
    }
}
