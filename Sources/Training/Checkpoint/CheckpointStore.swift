/// The checkpoints of one run: written so that a crash never leaves a broken one in place, verified before use.
import GDNFormats
import GDNTensor

/// One file of a checkpoint, made when it is written.
package struct CheckpointFile {
    /// Name in the folder.
    package let name: String
    /// Hands the content to the disk piece by piece.
    package let write: ((UnsafeRawBufferPointer) throws -> Void) throws -> Void

    /// A file whose content is written by a closure.
    package init(_ name: String, _ write: @escaping ((UnsafeRawBufferPointer) throws -> Void) throws -> Void) {
        self.name = name
        self.write = write
    }

    /// A small file.
    package init(_ name: String, text: String) {
        self.init(name, bytes: Array(text.utf8))
    }

    /// A file that is in memory.
    package init(_ name: String, bytes: [UInt8]) {
        self.init(name) { sink in try bytes.withUnsafeBytes { try sink($0) } }
    }
}

/// Folders `step-00001000` of a run.
///
/// Writing:
/// 1. every file goes into `.writing-step-…` and is flushed to the disk;
/// 2. the manifest is written last, and the folder flushed;
/// 3. the folder is renamed to its final name, and the run's folder flushed;
/// 4. checkpoints no longer wanted are renamed to `.removing-…`, then removed.
///
/// So a folder named `step-…` is always complete, whatever moment the process dies.
package struct CheckpointStore: Sendable {
    /// The run's folder.
    package let folder: String
    private let operations: FileOperations

    /// The checkpoints in a run's folder.
    package init(folder: String, operations: FileOperations = FileOperations()) {
        self.folder = folder
        self.operations = operations
    }

    /// `step-00001000`
    package static func name(step: Int) -> String {
        let digits = String(step)
        return "step-" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits
    }

    /// The step of a checkpoint's name, or nil when it is no such name.
    package static func step(name: String) -> Int? {
        guard name.hasPrefix("step-"), name.count >= 13 else { return nil }
        return Int(name.dropFirst(5))
    }

    /// Steps that have a checkpoint, ascending.
    package func steps() throws -> [Int] {
        try operations.names(in: folder).compactMap(Self.step).sorted()
    }

    /// The folder of a step.
    package func path(step: Int) -> String { "\(folder)/\(Self.name(step: step))" }

    /// Removes what a process that died while writing has left, and puts back what it was replacing.
    ///
    /// Only for the one process that holds the run's lock.
    package func recover() throws {
        for name in try operations.names(in: folder) {
            if name.hasPrefix(".replaced-") {
                let original = "\(folder)/\(name.dropFirst(".replaced-".count))"
                if operations.isFolder(original) {
                    try discard("\(folder)/\(name)")
                } else {
                    try operations.rename("\(folder)/\(name)", to: original)
                }
            } else if name.hasPrefix(".writing-") || name.hasPrefix(".removing-") || name.hasSuffix(".linking") {
                try operations.remove("\(folder)/\(name)")
            }
        }
    }

    /// Writes the checkpoint of a step; an existing one of the same step is replaced.
    /// - Throws: `CheckpointError` when the disk is full or not writable; earlier checkpoints stay as they are.
    package func write(step: Int, files: [CheckpointFile]) throws {
        let name = Self.name(step: step)
        let (temporary, final, replaced) = (
            "\(folder)/.writing-\(name)", "\(folder)/\(name)", "\(folder)/.replaced-\(name)"
        )
        do {
            if operations.isFolder(temporary) { try operations.remove(temporary) }
            try operations.makeFolder(temporary)
            var manifest = CheckpointManifest(step: step, files: [:])
            for file in files {
                manifest.files[file.name] = try operations.writeFile("\(temporary)/\(file.name)", file.write)
            }
            let text = CheckpointFile(CheckpointManifest.fileName, text: manifest.text)
            _ = try operations.writeFile("\(temporary)/\(text.name)", text.write)
            try operations.syncFolder(temporary)
            if operations.isFolder(final) {
                try operations.rename(final, to: replaced)
            }
            try operations.rename(temporary, to: final)
            try operations.syncFolder(folder)
            if operations.isFolder(replaced) { try discard(replaced) }
        } catch {
            if operations.isFolder(temporary) { try? operations.remove(temporary) }
            if operations.isFolder(replaced), !operations.isFolder(final) {
                try? operations.rename(replaced, to: final)
            }
            throw CheckpointError(final, "could not be written: \(error); earlier checkpoints are intact")
        }
    }

    /// Makes `NAME` in the run's folder a link to the checkpoint of a step, e.g. `latest`.
    /// - Throws: `FormatError` when that is not allowed.
    package func link(_ name: String, step: Int) throws {
        try operations.link("\(folder)/\(name)", to: Self.name(step: step))
    }

    /// Whether there is a checkpoint of a step.
    package func has(step: Int) -> Bool { operations.isFolder(path(step: step)) }

    /// Renames the checkpoint of a step so that it counts no longer, and keeps its files.
    package func setAside(step: Int) throws {
        var name = "abandoned-\(Self.name(step: step))"
        var number = 1
        while operations.isFolder("\(folder)/\(name)") {
            number += 1
            name = "abandoned-\(Self.name(step: step))-\(number)"
        }
        try operations.rename(path(step: step), to: "\(folder)/\(name)")
    }

    /// Removes all checkpoints but the latest `keepLast` and those of `always`.
    package func prune(keepLast: Int, always: [Int]) throws {
        let steps = try steps()
        for step in steps.dropLast(keepLast) where !always.contains(step) {
            try discard(path(step: step))
        }
    }

    /// The latest checkpoint whose files are all as they were written, and a sentence for each newer one that is not.
    /// - Throws: `CheckpointError` when there are checkpoints but none is sound.
    package func latestSound() throws -> (step: Int, warnings: [String])? {
        var warnings: [String] = []
        for step in try steps().reversed() {
            do {
                try Self.verify(path(step: step))
                return (step, warnings)
            } catch {
                warnings.append("\(error)")
            }
        }
        if warnings.isEmpty { return nil }
        throw CheckpointError(folder, "no checkpoint is sound: \(warnings.joined(separator: "; "))")
    }

    /// Checks every file of a checkpoint against its manifest.
    /// - Throws: `CheckpointError` naming the file.
    package static func verify(_ folder: String) throws {
        try CheckpointManifest(folder: folder).verify(folder: folder)
    }

    /// Takes a folder out of sight first, so that a half-removed one is never taken for a checkpoint.
    private func discard(_ path: String) throws {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        let hidden = "\(folder)/.removing-\(name)"
        if operations.isFolder(hidden) { try operations.remove(hidden) }
        try operations.rename(path, to: hidden)
        try operations.remove(hidden)
    }
}
