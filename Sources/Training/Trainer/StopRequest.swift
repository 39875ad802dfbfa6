/// Signals as a flag that the trainer looks at between steps.
import GDNTensor
import Synchronization

/// A request to stop, made by the program or, for `StopRequest(onSignals: true)`, by SIGINT, SIGTERM or SIGPIPE (whoever
/// read the output has gone).
///
/// While such a request lives, these signals do not end the process; a second one does, at once: whoever asks twice
/// does not want to wait.
package final class StopRequest: Sendable {
    private let requested = Atomic<Bool>(false)
    private let onSignals: Bool
    private let before: Dispositions
    private static let numbers = [SIGINT, SIGTERM, SIGPIPE]

    /// No request yet.
    package init(onSignals: Bool = false) {
        self.onSignals = onSignals
        before = onSignals ? Dispositions(of: Self.numbers) : Dispositions(of: [])
        guard onSignals else { return }
        receivedSignals.store(0, ordering: .sequentiallyConsistent)
        // Whoever started this process may have blocked the signals; a blocked one would wait for ever.
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in Self.numbers {
            _ = signal(number, countSignal)
            sigaddset(&signals, number)
        }
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
    }

    deinit {
        before.restore()
    }

    /// Whether a stop was asked for.
    package var isRequested: Bool {
        requested.load(ordering: .relaxed) || (onSignals && receivedSignals.load(ordering: .relaxed) > 0)
    }

    /// Asks for a stop after the current step.
    package func request() { requested.store(true, ordering: .relaxed) }
}

/// What signals did before; a program that uses this library may have its own handlers, or ignore some.
private struct Dispositions: @unchecked Sendable {
    private var saved: [(number: Int32, action: sigaction)] = []

    init(of numbers: [Int32]) {
        for number in numbers {
            var action = sigaction()
            if sigaction(number, nil, &action) == 0 { saved.append((number, action)) }
        }
    }

    func restore() {
        for item in saved { _ = withUnsafePointer(to: item.action) { sigaction(item.number, $0, nil) } }
    }
}

/// Signals that came since the last watch began. A handler gets nothing but the signal's number, and signals belong to
/// the process as a whole, so this cannot be a property of an object. Only `StopRequest` looks at it.
private let receivedSignals = Atomic<Int>(0)

/// The handler: counts, and ends the process at the second signal. Both are allowed in a handler.
private func countSignal(_ number: Int32) {
    if receivedSignals.add(1, ordering: .relaxed).oldValue > 0 { _exit(128 + number) }
}
