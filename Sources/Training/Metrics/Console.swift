/// Where a run tells what it does: a live line and permanent lines.
import GDNFormats
import GDNTensor

/// Text output of a run.
///
/// On a terminal `live` rewrites one line in place; elsewhere it prints nothing and only `line` does. Text that cannot be
/// written stops no run: the first error is kept for its end, and nothing is written after it.
package final class Console {
    /// Whether lines can be rewritten.
    package let isTerminal: Bool
    /// Why text could not be written; nil as long as all could.
    package private(set) var failure: (any Error)?
    private let width: () -> Int
    private let write: (String) throws -> Void
    private var hasLive = false

    /// A console that hands its text to `write`.
    package init(isTerminal: Bool, width: @escaping () -> Int = { 120 }, write: @escaping (String) throws -> Void) {
        self.isTerminal = isTerminal
        self.width = width
        self.write = write
    }

    /// A console on a file descriptor (1: standard output).
    package convenience init(descriptor: Int32 = 1) {
        self.init(
            isTerminal: isatty(descriptor) == 1,
            width: {
                var size = winsize()
                guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 120 }
                return Int(size.ws_col)
            },
            write: { try StandardOutput.write($0, to: descriptor) })
    }

    /// Prints lines that stay.
    package func line(_ text: String) {
        put((hasLive ? "\r\u{1B}[K" : "") + text + "\n")
        hasLive = false
    }

    /// Replaces the live line. Does nothing when not on a terminal.
    package func live(_ text: String) {
        guard isTerminal else { return }
        put("\r\u{1B}[K" + String(text.prefix(max(1, width() - 1))))
        hasLive = true
    }

    private func put(_ text: String) {
        guard failure == nil else { return }
        do { try write(text) } catch { failure = error }
    }
}
