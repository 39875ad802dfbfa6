/// Writes all bytes to a file descriptor, going on after short writes and interruptions.
/// - Returns: 0, or the error number of the call that failed; what went out before stays written.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
        let count = write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count > 0 {
            rest = rest.dropFirst(count)
        } else if count == 0 {
            return EIO
        } else if errno != EINTR {
            return errno
        }
    }
    return 0
}

/// Writes a text in UTF-8 to a file descriptor.
/// - Returns: 0, or the error number of the call that failed.
package func writeAll(_ text: String, to descriptor: Int32) -> Int32 {
    var text = text
    return text.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: descriptor) }
}
