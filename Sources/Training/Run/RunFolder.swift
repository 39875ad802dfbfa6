/// Decides whether a run starts, goes on or is refused, and keeps its folder for one process.
import GDNFormats
import GDNTensor

/// Whether a run goes on from a checkpoint.
public enum ResumeMode: Sendable, Equatable {
    /// From the latest sound checkpoint of the run's folder; from the start when there is none.
    case auto
    /// From the start; refuses a folder that holds a run.
    case never
    /// From this checkpoint folder.
    case path(String)

    /// Reads `auto`, `never` or a path.
    public init(_ text: String) {
        switch text {
        case "auto": self = .auto
        case "never": self = .never
        default: self = .path(text)
        }
    }
}

/// A run's folder, locked for this process.
package final class RunFolder {
    /// Where the run goes on.
    package enum Start: Equatable {
        /// At step 0.
        case fresh
        /// From this verified checkpoint folder.
        case checkpoint(String)
    }

    /// The folder.
    package let path: String
    /// Its checkpoints.
    package let checkpoints: CheckpointStore
    /// Where the run goes on.
    package let start: Start
    /// What the user should know about the start.
    package let notes: [String]
    private let lock: RunLock

    /// Makes or opens a run's folder and takes its lock.
    /// - Throws: `CheckpointError` when another process trains there, when a run is there and neither resuming nor
    ///   overwriting was asked for, when the wanted checkpoint is not sound, or the folder is not writable.
    package init(_ path: String, resume: ResumeMode, overwrite: Bool, operations: FileOperations = FileOperations())
        throws
    {
        self.path = path
        try Self.makeFolders(path)
        lock = try RunLock(folder: path)
        checkpoints = CheckpointStore(folder: path, operations: operations)
        // Prepared tokens say themselves from what they were made; a new run can use them.
        let names = try operations.names(in: path).filter { $0 != ".lock" && $0 != "data" }
        if overwrite && !names.isEmpty {
            guard names.allSatisfy(Self.isOurs) else {
                let stranger = names.first { !Self.isOurs($0) } ?? ""
                throw CheckpointError(
                    path, file: stranger, "is no file of a run; --overwrite removes only runs, choose another run.name")
            }
            for name in names { try operations.remove("\(path)/\(name)") }
            (start, notes) = (.fresh, ["\(path): the run that was here is removed"])
            return
        }
        try checkpoints.recover()
        switch resume {
        case .never:
            guard names.isEmpty else {
                throw CheckpointError(
                    path,
                    "already holds a run; go on with --resume auto, start anew with --overwrite, or choose another run.name"
                )
            }
            (start, notes) = (.fresh, [])
        case .auto:
            guard let (step, warnings) = try checkpoints.latestSound() else {
                (start, notes) = (.fresh, [])
                return
            }
            start = .checkpoint(checkpoints.path(step: step))
            notes = warnings + ["resuming from \(checkpoints.path(step: step))"]
            for later in try checkpoints.steps() where later > step { try checkpoints.setAside(step: later) }
            // A run killed before it made the link has the checkpoint, and may have nothing left to do.
            try checkpoints.link("latest", step: step)
        case .path(let wanted):
            try CheckpointStore.verify(wanted)
            let state = try TrainingCheckpoint.state(wanted)
            let own = try checkpoints.steps()
            let isOwn = Self.real(wanted) == Self.real(checkpoints.path(step: state.step))
            guard names.isEmpty || isOwn else {
                throw CheckpointError(
                    path,
                    "already holds another run than that of \(wanted); choose another run.name, or use --overwrite")
            }
            start = .checkpoint(wanted)
            let later = own.filter { $0 > state.step }
            for step in later { try checkpoints.setAside(step: step) }
            if isOwn { try checkpoints.link("latest", step: state.step) }
            notes =
                ["resuming from \(wanted)"]
                + (later.isEmpty ? [] : ["later checkpoints are set aside under the names abandoned-step-…"])
        }
    }

    /// Whether a run writes files of this name into its folder.
    private static func isOurs(_ name: String) -> Bool {
        if CheckpointStore.step(name: name) != nil { return true }
        let exact = ["recipe.yaml", "run.json", "metrics.jsonl", "report.html", "latest", "best"]
        if name.hasSuffix(".linking") { return true }
        let prefixes = [
            ".writing-", ".removing-", ".replaced-", "abandoned-step-", "recipe-from-step-", "events.out.tfevents.",
        ]
        return exact.contains(name) || prefixes.contains { name.hasPrefix($0) }
    }

    private static func real(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Makes a folder and those above it.
    private static func makeFolders(_ path: String) throws {
        var made = path.hasPrefix("/") ? "" : "."
        for component in path.split(separator: "/") {
            made += "/\(component)"
            if mkdir(made, 0o755) != 0, errno != EEXIST {
                let reason = String(cString: strerror(errno))
                throw CheckpointError(path, "cannot be made: \(made): \(reason); choose another run.folder")
            }
        }
    }
}
