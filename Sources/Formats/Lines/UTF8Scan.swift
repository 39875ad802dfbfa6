import GDNFormatsKernels

/// Looks for what is no UTF-8 at the speed of memory.
package enum UTF8Scan {
    /// The first byte that is not part of a character; nil when all bytes are UTF-8.
    /// - Parameter wideSteps: use the processor's wide steps where it has them
    package static func firstInvalid(_ bytes: UnsafeRawBufferPointer, wideSteps: Bool = true) -> Int? {
        let valid = gdn_utf8_prefix(bytes.baseAddress, bytes.count, wideSteps ? hasWideSteps : 0)
        return valid == bytes.count ? nil : valid
    }

    /// Number of newlines.
    package static func newlines(_ bytes: UnsafeRawBufferPointer) -> Int {
        gdn_count_newlines(bytes.baseAddress, bytes.count)
    }
}

private let hasWideSteps = gdn_utf8_has_wide()
