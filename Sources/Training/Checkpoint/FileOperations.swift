/// The few file operations that checkpoints are made of, behind one hook, so that tests can stop at every boundary.
import GDNFormats
import GDNTensor

/// Changes files, asking `before` ahead of every single system call that changes the disk.
///
/// A test's `before` throws at the n-th call and at every later one: what is then on the disk is what `kill -9` at that
/// boundary would have left. Outside tests `before` does nothing.
package struct FileOperations: Sendable {
    /// One change of the disk.
    package enum Operation: Sendable, Equatable {
        case makeFolder(String)
        case create(String)
        case write(String, offset: Int)
        case sync(String)
        case rename(String, to: String)
        case link(String, to: String)
        case remove(String)
    }

    /// Called ahead of every operation; throwing prevents it.
    package var before: @Sendable (Operation) throws -> Void
    /// Most bytes written by one call.
    package var chunk: Int

    /// Operations on the real disk.
    package init(chunk: Int = 8 << 20, before: @escaping @Sendable (Operation) throws -> Void = { _ in }) {
        self.chunk = chunk
        self.before = before
    }

    /// Makes a folder whose parent exists.
    package func makeFolder(_ path: String) throws {
        try before(.makeFolder(path))
        guard mkdir(path, 0o755) == 0 else { throw FormatError.system("mkdir", file: path) }
    }

    /// Creates a file, lets `body` append to it, and makes it durable.
    /// - Returns: the size and checksum of what was handed to the disk.
    package func writeFile(_ path: String, _ body: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void) throws
        -> FileDigest
    {
        try before(.create(path))
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FormatError.system("open for writing", file: path) }
        defer { _ = close(descriptor) }
        var hash = XXH64()
        var offset = 0
        try body { bytes in
            hash.update(bytes)
            var rest = bytes[...]
            while !rest.isEmpty {
                try before(.write(path, offset: offset))
                let piece = rest.prefix(chunk)
                let error = writeAll(UnsafeRawBufferPointer(rebasing: piece), to: descriptor)
                guard error == 0 else { throw FormatError.system("write", file: path, error) }
                offset += piece.count
                rest = rest.dropFirst(piece.count)
            }
        }
        try before(.sync(path))
        guard fsync(descriptor) == 0 else { throw FormatError.system("fsync", file: path) }
        return FileDigest(byteCount: offset, checksum: hash.text)
    }

    /// Makes the entries of a folder durable.
    package func syncFolder(_ path: String) throws {
        try before(.sync(path))
        try OutputFile.makeFolderDurable(of: path + "/.")
    }

    /// Renames a file or folder; the new name must be free.
    package func rename(_ from: String, to: String) throws {
        try before(.rename(from, to: to))
        guard Self.systemRename(from, to) == 0 else { throw FormatError.system("rename", file: from) }
    }

    /// Makes `path` a symbolic link to `target`, replacing a link that is there in one step.
    package func link(_ path: String, to target: String) throws {
        let temporary = path + ".linking"
        if isLink(temporary) { try remove(temporary) }
        try before(.link(temporary, to: target))
        guard symlink(target, temporary) == 0 else { throw FormatError.system("symlink", file: path) }
        try rename(temporary, to: path)
    }

    /// Removes a file, or a folder with everything in it.
    package func remove(_ path: String) throws {
        if isFolder(path) {
            for name in try names(in: path) { try remove("\(path)/\(name)") }
            try before(.remove(path))
            guard rmdir(path) == 0 else { throw FormatError.system("rmdir", file: path) }
        } else {
            try before(.remove(path))
            guard unlink(path) == 0 else { throw FormatError.system("unlink", file: path) }
        }
    }

    /// Names in a folder, sorted; empty when it does not exist.
    package func names(in folder: String) throws -> [String] {
        guard let handle = opendir(folder) else {
            if errno == ENOENT { return [] }
            throw FormatError.system("opendir", file: folder)
        }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Whether the path is a folder (a link to one is not).
    package func isFolder(_ path: String) -> Bool { kind(path) == S_IFDIR }

    /// Whether the path is a symbolic link.
    package func isLink(_ path: String) -> Bool { kind(path) == S_IFLNK }

    private func kind(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
    }

    private static func systemRename(_ from: String, _ to: String) -> Int32 {
        callRename(from, to)
    }
}

/// The C function, which `FileOperations.rename` hides.
private func callRename(_ from: String, _ to: String) -> Int32 {
    rename(from, to)
}
