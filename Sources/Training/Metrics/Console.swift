/// Where a run tells what it does: a live line and permanent lines.
import GDNTensor

/// Text output of a run.
///
/// On a terminal `live` rewrites one line in place; elsewhere it prints nothing and only `line` does.
package final class Console {
    /// Whether lines can be rewritten.
    package let isTerminal: Bool
    private let width: () -> Int
    private let write: (String) -> Void
    private var hasLive = false

    /// A console that hands its text to `write`.
    package init(isTerminal: Bool, width: @escaping () -> Int = { 120 }, write: @escaping (String) -> Void) {
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
            write: { text in
                var bytes = Array(text.utf8)[...]
                while !bytes.isEmpty {
                    let count = bytes.withUnsafeBytes { systemWrite(descriptor, $0) }
                    if count <= 0 && errno != EINTR { return }
                    bytes = bytes.dropFirst(max(0, count))
                }
            })
    }

    /// Prints lines that stay.
    package func line(_ text: String) {
        write((hasLive ? "\r\u{1B}[K" : "") + text + "\n")
        hasLive = false
    }

    /// Replaces the live line. Does nothing when not on a terminal.
    package func live(_ text: String) {
        guard isTerminal else { return }
        write("\r\u{1B}[K" + String(text.prefix(max(1, width() - 1))))
        hasLive = true
    }
}

/// The C function, which the initialiser's argument hides.
private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    write(descriptor, bytes.baseAddress, bytes.count)
}
