/// SIGINT and SIGTERM as a flag that the trainer looks at between steps.
import Dispatch
import GDNTensor
import Synchronization

/// A request to stop, set by a signal or by the program.
package final class StopRequest: Sendable {
    private let requested = Atomic<Bool>(false)

    /// No request yet.
    package init() {}

    /// Whether a stop was asked for.
    package var isRequested: Bool { requested.load(ordering: .relaxed) }

    /// Asks for a stop after the current step.
    package func request() { requested.store(true, ordering: .relaxed) }
}

/// While it lives, SIGINT and SIGTERM set a stop request instead of ending the process.
///
/// A second SIGINT or SIGTERM ends the process at once: whoever asks twice does not want to wait.
package final class SignalWatch {
    private var sources: [any DispatchSourceSignal] = []

    /// Watches for both signals.
    package init(_ stop: StopRequest) {
        for number in [SIGINT, SIGTERM] {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                if stop.isRequested { _exit(128 + number) }
                stop.request()
            }
            source.resume()
            sources.append(source)
        }
    }

    deinit {
        for source in sources { source.cancel() }
        for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
    }
}
