import GDNTestSupport
import GDNFormats
import Foundation
import GDNTraining
import Synchronization
import Testing

/// Counts operations and stops at one of them: what is on the disk then is what a killed process leaves.
private final class Killer: Sendable {
    struct Killed: Error {}
    private let count = Mutex(0)
    let at: Int

    init(at: Int) { self.at = at }

    var operations: FileOperations {
        FileOperations(chunk: 100) { _ in
            let now = self.count.withLock { count in
                count += 1
                return count
            }
            if now >= self.at { throw Killed() }
        }
    }

    var total: Int { count.withLock { $0 } }
}

private func files(_ mark: String) -> [CheckpointFile] {
    [
        CheckpointFile("model.safetensors", text: String(repeating: mark, count: 950)),
        CheckpointFile("trainer.json", text: "{\"mark\": \"\(mark)\"}"),
    ]
}

@Suite struct CheckpointStoreTests {
    @Test func writesVerifiesAndLists() throws {
        let folder = TemporaryFolder()
        let store = CheckpointStore(folder: folder.root)
        #expect(try store.latestSound() == nil)
        try store.write(step: 1000, files: files("a"))
        try store.write(step: 123_456_789, files: files("b"))
        #expect(try store.steps() == [1000, 123_456_789])
        #expect(store.path(step: 1000).hasSuffix("/step-00001000"))
        try CheckpointStore.verify(store.path(step: 1000))
        #expect(content(store.path(step: 1000) + "/model.safetensors")?.count == 950)
        #expect(try store.latestSound()?.step == 123_456_789)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root).count == 2)
    }

    /// The sweep: a first checkpoint is complete, the second's writing dies ahead of each operation in turn.
    /// Whatever is left, the latest sound checkpoint is the first or the second in full, and the next attempt succeeds.
    @Test func aKillAtAnyBoundaryLeavesACompleteCheckpoint() throws {
        let counting = Killer(at: .max)
        do {
            let folder = TemporaryFolder()
            try CheckpointStore(folder: folder.root).write(step: 1, files: files("a"))
            let store = CheckpointStore(folder: folder.root, operations: counting.operations)
            try store.write(step: 2, files: files("b"))
            try store.prune(keepLast: 1, always: [])
        }
        #expect(counting.total > 25)
        var survivors: Set<Int> = []
        for boundary in 1...counting.total {
            let folder = TemporaryFolder()
            try CheckpointStore(folder: folder.root).write(step: 1, files: files("a"))
            let dying = CheckpointStore(folder: folder.root, operations: Killer(at: boundary).operations)
            #expect(throws: (any Error).self) {
                try dying.write(step: 2, files: files("b"))
                try dying.prune(keepLast: 1, always: [])
            }
            let store = CheckpointStore(folder: folder.root)
            let before = try #require(try store.latestSound())
            #expect(before.warnings.isEmpty, "boundary \(boundary)")
            survivors.insert(before.step)
            let mark = before.step == 1 ? "a" : "b"
            #expect(
                content(store.path(step: before.step) + "/model.safetensors")
                    == Data(String(repeating: mark, count: 950).utf8))
            try store.recover()
            #expect(try store.latestSound()?.step == before.step)
            try store.write(step: 2, files: files("b"))
            #expect(try store.latestSound()?.step == 2)
            let names = try FileManager.default.contentsOfDirectory(atPath: folder.root)
            #expect(names.allSatisfy { $0.hasPrefix("step-") }, "left over: \(names)")
        }
        #expect(survivors == [1, 2])
    }

    /// The same sweep where the checkpoint being written replaces a complete one of the same step.
    @Test func aKillWhileReplacingKeepsOldOrNew() throws {
        let counting = Killer(at: .max)
        do {
            let folder = TemporaryFolder()
            try CheckpointStore(folder: folder.root).write(step: 1, files: files("a"))
            try CheckpointStore(folder: folder.root, operations: counting.operations).write(step: 1, files: files("b"))
        }
        var marks: Set<UInt8> = []
        for boundary in 1...counting.total {
            let folder = TemporaryFolder()
            try CheckpointStore(folder: folder.root).write(step: 1, files: files("a"))
            let dying = CheckpointStore(folder: folder.root, operations: Killer(at: boundary).operations)
            #expect(throws: (any Error).self) { try dying.write(step: 1, files: files("b")) }
            let store = CheckpointStore(folder: folder.root)
            try store.recover()
            #expect(try store.latestSound()?.step == 1)
            let model = try #require(content(store.path(step: 1) + "/model.safetensors"))
            #expect(Set(model).count == 1 && model.count == 950)
            marks.formUnion(model)
        }
        #expect(marks == [UInt8(ascii: "a"), UInt8(ascii: "b")])
    }

    @Test func aFullDiskIsAnErrorAndLosesNothing() throws {
        struct DiskFull: Error {}
        let total = 40
        for failing in 1...total {
            let folder = TemporaryFolder()
            try CheckpointStore(folder: folder.root).write(step: 1, files: files("a"))
            let count = Mutex(0)
            let full = FileOperations(chunk: 100) { operation in
                guard case .write = operation else { return }
                let now = count.withLock { count in
                    count += 1
                    return count
                }
                if now == failing { throw DiskFull() }
            }
            let store = CheckpointStore(folder: folder.root, operations: full)
            do {
                try store.write(step: 2, files: files("b"))
                #expect(failing > 10)
            } catch let error as CheckpointError {
                #expect(error.description.contains("earlier checkpoints are intact"))
                #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root) == ["step-00000001"])
            }
            #expect(try store.latestSound() != nil)
        }
    }

    @Test func aFolderThatCannotBeWrittenIsAnError() throws {
        let store = CheckpointStore(folder: "/proc/self")
        #expect { try store.write(step: 1, files: files("a")) } throws: { error in
            (error as? CheckpointError)?.description.contains("could not be written") ?? false
        }
    }

    @Test func everyTruncationAndBitFlipIsNamed() throws {
        let folder = TemporaryFolder()
        let store = CheckpointStore(folder: folder.root)
        try store.write(step: 1, files: files("a"))
        let path = store.path(step: 1)
        for name in ["model.safetensors", "trainer.json", "manifest.json"] {
            let file = "\(path)/\(name)"
            let good = try #require(content(file))
            var places = Array(stride(from: 0, to: good.count * 8, by: max(1, good.count * 8 / 400)))
            if name == "manifest.json" { places = Array(0..<good.count * 8) }
            for bit in places {
                var bad = good
                bad[bit / 8] ^= 1 << UInt8(bit % 8)
                try bad.write(to: URL(fileURLWithPath: file))
                #expect(throws: CheckpointError.self, "\(name) bit \(bit)") { try CheckpointStore.verify(path) }
                if name != "manifest.json" {
                    #expect { try CheckpointStore.verify(path) } throws: { "\($0)".contains(name) }
                }
            }
            for length in [0, 1, good.count / 2, good.count - 1] {
                try good.prefix(length).write(to: URL(fileURLWithPath: file))
                #expect { try CheckpointStore.verify(path) } throws: { "\($0)".contains("\(path)/\(name)") }
            }
            try FileManager.default.removeItem(atPath: file)
            #expect { try CheckpointStore.verify(path) } throws: { "\($0)".contains(name) }
            try good.write(to: URL(fileURLWithPath: file))
        }
        try CheckpointStore.verify(path)
    }

    @Test func aDamagedCheckpointIsPassedOverWithASentence() throws {
        let folder = TemporaryFolder()
        let store = CheckpointStore(folder: folder.root)
        for step in 1...3 { try store.write(step: step, files: files("a")) }
        try Data("x".utf8).write(to: URL(fileURLWithPath: store.path(step: 3) + "/model.safetensors"))
        let found = try #require(try store.latestSound())
        #expect(found.step == 2)
        #expect(found.warnings.count == 1 && found.warnings[0].contains("step-00000003/model.safetensors"))
        for step in 1...2 { try Data().write(to: URL(fileURLWithPath: store.path(step: step) + "/trainer.json")) }
        #expect { try store.latestSound() } throws: { "\($0)".contains("no checkpoint is sound") }
    }

    @Test func pruningKeepsTheLatestAndTheBest() throws {
        let folder = TemporaryFolder()
        let store = CheckpointStore(folder: folder.root)
        for step in 1...6 { try store.write(step: step, files: files("a")) }
        try store.prune(keepLast: 2, always: [3])
        #expect(try store.steps() == [3, 5, 6])
    }

    /// What was handed to the disk and what lies there are the same.
    @Test func theDigestOfAWrittenFileIsThatOfTheFile() throws {
        let folder = TemporaryFolder()
        let text = String(repeating: "abc", count: 50)
        let written = try FileOperations(chunk: 7).writeFile(
            folder.path("a"), CheckpointFile("", text: text).write)
        #expect(written.byteCount == 150)
        #expect(try FileDigest(of: folder.path("a")) == written)
    }
}

@Suite struct RunFolderTests {
    @Test func anExistingRunIsNeverOverwrittenUnasked() throws {
        let folder = TemporaryFolder()
        let path = folder.path("runs/a")
        do {
            let run = try RunFolder(path, resume: .never, overwrite: false)
            #expect(run.start == .fresh)
            try Data("x".utf8).write(to: URL(fileURLWithPath: path + "/metrics.jsonl"))
            try run.checkpoints.write(step: 5, files: files("a"))
        }
        #expect { try RunFolder(path, resume: .never, overwrite: false) } throws: { error in
            "\(error)".contains("already holds a run") && "\(error)".contains("--resume auto")
        }
        do {
            let run = try RunFolder(path, resume: .auto, overwrite: false)
            #expect(run.start == .checkpoint(path + "/step-00000005"))
        }
        let run = try RunFolder(path, resume: .never, overwrite: true)
        #expect(run.start == .fresh)
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == [".lock"])
    }

    @Test func overwritingRefusesAFolderThatIsNoRun() throws {
        let folder = TemporaryFolder()
        try Data("dear".utf8).write(to: URL(fileURLWithPath: folder.path("thesis.tex")))
        #expect { try RunFolder(folder.root, resume: .never, overwrite: true) } throws: {
            "\($0)".contains("thesis.tex")
        }
        #expect(content(folder.path("thesis.tex")) == Data("dear".utf8))
    }

    @Test func twoWritersAreRefusedAndAStaleLockIsNot() throws {
        let folder = TemporaryFolder()
        try Data("process 1\n".utf8).write(to: URL(fileURLWithPath: folder.path(".lock")))
        let first = try RunFolder(folder.root, resume: .auto, overwrite: false)
        #expect { try RunFolder(folder.root, resume: .auto, overwrite: false) } throws: { error in
            "\(error)".contains("another process (process \(ProcessInfo.processInfo.processIdentifier))")
        }
        withExtendedLifetime(first) {}
    }

    @Test func theLockGoesWithItsHolder() throws {
        let folder = TemporaryFolder()
        do { _ = try RunFolder(folder.root, resume: .auto, overwrite: false) }
        _ = try RunFolder(folder.root, resume: .auto, overwrite: false)
    }

    @Test func resumingFallsBackAndSetsTheDamagedOneAside() throws {
        let folder = TemporaryFolder()
        let store = CheckpointStore(folder: folder.root)
        for step in 1...2 { try store.write(step: step, files: files("a")) }
        try Data().write(to: URL(fileURLWithPath: store.path(step: 2) + "/model.safetensors"))
        let run = try RunFolder(folder.root, resume: .auto, overwrite: false)
        #expect(run.start == .checkpoint(store.path(step: 1)))
        #expect(run.notes.contains { $0.contains("step-00000002/model.safetensors") })
        #expect(try store.steps() == [1])
        #expect(FileManager.default.fileExists(atPath: folder.path("abandoned-step-00000002")))
    }

    @Test func aFolderThatCannotBeMadeIsNamed() throws {
        #expect { try RunFolder("/proc/nothing/here", resume: .never, overwrite: false) } throws: { error in
            error is CheckpointError && "\(error)".contains("/proc/nothing")
        }
        let folder = TemporaryFolder()
        #expect { try RunFolder(folder.path("a"), resume: .path(folder.root), overwrite: false) } throws: { error in
            "\(error)".contains("is no complete checkpoint")
        }
    }
}
