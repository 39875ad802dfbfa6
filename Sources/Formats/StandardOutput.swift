import GDNTensor

/// Standard output, written at once and with errors noticed.
package enum StandardOutput {
    /// Writes a text.
    /// - Throws: `FormatError` when it cannot be written, e.g. to a full disk; `ClosedPipe` when nobody reads it any more.
    package static func write(_ text: String) throws { try write(text, to: 1) }

    /// Writes a text to another descriptor that stands for standard output.
    package static func write(_ text: String, to descriptor: Int32) throws {
        let error = writeAll(text, to: descriptor)
        if error == EPIPE { throw ClosedPipe() }
        guard error == 0 else { throw FormatError.system("write", file: "standard output", error) }
    }
}

/// The reader of standard output has gone, as `head` does when it has seen enough: a reason to end, not to complain.
package struct ClosedPipe: Error {}
