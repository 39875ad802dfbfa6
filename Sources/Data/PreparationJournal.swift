import GDNFormats
import GDNTensor
import GDNTokenizers

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What a preparation is made of: a run goes on with what another began only when all of this is equal.
struct PreparationPlan: Codable, Equatable {
    /// Version of both files, 3. (2 had SHA-256 sums, 1 the sources of a file in parts with its first part.)
    var version = 3
    var tokenizer: String
    var vocabularySize: Int
    var settings: DataPreparation.Settings
    /// The pieces of the input, those to hold out behind the others.
    var units: [InputUnit]
    /// How many of them are not to hold out as a whole.
    var trainingUnits: Int
    /// When each file was last changed, in nanoseconds since 1970; 0 for what is no file.
    var changed: [Int]

    /// Lists what the paths stand for.
    init(
        _ paths: [String], validation: [String], tokenizer: any Tokenizer, settings: DataPreparation.Settings,
        reader: DocumentReader, ignored: inout Int
    ) throws {
        self.tokenizer = tokenizer.identity
        vocabularySize = tokenizer.vocabularySize
        self.settings = settings
        let training = try reader.units(of: paths, ignored: &ignored)
        trainingUnits = training.count
        units = try training + reader.units(of: validation, ignored: &ignored)
        changed = units.map { unit in
            var status = stat()
            guard stat(unit.path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return 0 }
            #if canImport(Darwin)
                let time = status.st_mtimespec
            #else
                let time = status.st_mtim
            #endif
            return Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec)
        }
    }

    /// Whether a unit is the last of its file.
    func isLast(_ unit: Int) -> Bool { unit + 1 == units.count || units[unit + 1].isFirst }

    /// What differs from a plan that was begun with; nil when this one can go on with it. The limit of malformed
    /// records may differ: it decides nothing that is written.
    func difference(from begun: PreparationPlan) -> String? {
        var settings = settings
        settings.reading.malformedLimit = begun.settings.reading.malformedLimit
        if begun.version != version { return "another version of this program" }
        if begun.tokenizer != tokenizer || begun.vocabularySize != vocabularySize { return "another tokenizer" }
        if begun.settings != settings { return "other settings" }
        if begun.units.map(\.path) != units.map(\.path) || begun.trainingUnits != trainingUnits {
            return "other sources"
        }
        for index in units.indices where units[index] != begun.units[index] || changed[index] != begun.changed[index] {
            return "another content of \(units[index].path)"
        }
        return nil
    }
}

/// How far a preparation has come: everything up to `unit` and `documents` is in the shards, nothing behind.
struct PreparationJournal: Codable, Equatable {
    /// The first unit that is not whole in the shards.
    var unit = 0
    /// Documents of this unit that are in the shards.
    var documents = 0
    /// What was found in the units that are whole, and their files.
    var report = DataReport()
    var validationReport = DataReport()
    var sources: [DocumentReader.Source] = []
    var validationSources: [DocumentReader.Source] = []
    /// The checksum of the units that are whole of a file that is not.
    var file = RunChecksum()
    /// Where the shards stand.
    var training = PartWriter.Checkpoint()
    var validation = PartWriter.Checkpoint()
}

/// The two files in the folder of an unfinished preparation.
struct PreparationFiles: Sendable {
    let folder: String
    private var planPath: String { "\(folder)/preparation-plan.json" }
    private var journalPath: String { "\(folder)/preparation-journal.json" }

    /// The plan of an interrupted preparation; nil when there is none, or no journal that goes with it.
    /// - Throws: `FormatError` when the file is damaged.
    func plan() throws -> PreparationPlan? {
        guard access(planPath, F_OK) == 0, access(journalPath, F_OK) == 0 else { return nil }
        return try read(PreparationPlan.self, planPath)
    }

    /// The journal; only when the plan is of this version.
    /// - Throws: `FormatError` when the file is damaged.
    func journal() throws -> PreparationJournal { try read(PreparationJournal.self, journalPath) }

    /// Writes the plan of a new preparation; there must be no journal.
    func save(_ plan: PreparationPlan) throws { try write(plan, planPath) }

    /// Writes the journal, whole or not at all.
    func save(_ journal: PreparationJournal) throws { try write(journal, journalPath) }

    /// Removes both, and what a process killed while it replaced a file has left: the preparation is finished or given up.
    func remove() throws {
        let paths = [journalPath, planPath, "\(folder)/\(DataManifest.name)"]
        let unfinished = names().map { "\(folder)/\($0)" }.filter { path in
            paths.contains { path.hasPrefix("\($0).tmp-") }
        }
        for path in unfinished + [journalPath, planPath] {
            guard unlink(path) == 0 || errno == ENOENT else { throw FormatError.system("unlink", file: path) }
        }
        try OutputFile.makeFolderDurable(of: planPath)
    }

    /// Removes the shards, finished or not, that earlier preparations left.
    func removeShards() {
        let endings = [".tokens", ".tokens.part", ".tokens.boundaries"]
        for name in names() {
            let rest = ["train-", "validation-"].compactMap { name.hasPrefix($0) ? name.dropFirst($0.count) : nil }
            guard let rest = rest.first, endings.contains(String(rest.drop { $0.isNumber })) else { continue }
            unlink("\(folder)/\(name)")
        }
    }

    private func names() -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafeBytes(of: &entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        return names
    }

    private func read<Value: Decodable>(_ type: Value.Type, _ path: String) throws -> Value {
        let file = try MappedFile(path)
        do {
            return try JSONDecoder().decode(type, from: file.read(0..<file.bytes.count) { Data($0) })
        } catch {
            throw FormatError(
                file: path, rule: "is no journal of a preparation (\(error))",
                advice: "begin again: gdn data prepare --restart")
        }
    }

    private func write(_ value: some Encodable, _ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let data: Data
        do {
            data = try encoder.encode(value)
        } catch {
            throw FormatError(file: path, rule: "cannot be written (\(error))", advice: "report this")
        }
        try OutputFile.replace(path) { try $0.write(Array(data) + [0x0a]) }
    }
}

/// Holds a folder against other processes for as long as it lives.
final class FolderLock {
    private let descriptor: Int32

    /// - Throws: `DataError` when another process holds it, `FormatError` when there is no such folder.
    init(_ folder: String) throws {
        descriptor = open(folder, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FormatError.system("open", file: folder) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            // The descriptor is closed by `deinit`, which runs when a complete object's initialiser throws.
            // File systems without locks have nothing to hold.
            guard code == EWOULDBLOCK else { throw FormatError.system("flock", file: folder, code) }
            throw DataError(
                folder, "another process is preparing data here", advice: "wait for it, or use another folder")
        }
    }

    deinit { close(descriptor) }
}
