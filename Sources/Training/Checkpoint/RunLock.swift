/// At most one process writes into a run's folder.
import GDNFormats
import GDNTensor

/// An exclusive lock on `FOLDER/.lock`, held until the object goes or the process ends.
///
/// The kernel drops the lock of a process that dies, so a left-over lock file never stands in the way.
package final class RunLock {
    private let descriptor: Int32

    /// Takes the lock.
    /// - Throws: `CheckpointError` when another process holds it, or the folder is not writable.
    package init(folder: String) throws {
        let path = "\(folder)/.lock"
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw CheckpointError(
                folder, file: ".lock", "cannot be opened: \(String(cString: strerror(errno))); check the permissions")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var buffer = [UInt8](repeating: 0, count: 32)
            let count = max(0, pread(descriptor, &buffer, buffer.count, 0))
            let holder = String(decoding: buffer[..<count].prefix { $0 != 0x0a }, as: UTF8.self)
            throw CheckpointError(
                folder,
                "another process (\(holder.isEmpty ? "unknown" : holder)) trains in this folder; wait for it, or choose another run.name"
            )
        }
        let line = Array("process \(getpid())\n".utf8)
        ftruncate(descriptor, 0)
        _ = pwrite(descriptor, line, line.count, 0)
    }

    deinit {
        _ = close(descriptor)
    }
}
