import Foundation
import GDNTraining
import Testing

/// (The test runner blocks signals and its children inherit that; a run that did not unblock them waited for ever.)
/// Whole processes: signals, kills, exit statuses. Runs the command `gdn` that is built beside the tests.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ProcessTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try Data(
            """
            run: {name: a, folder: "\(folder.file("runs"))", threads: 1}
            model: {preset: tiny, num_hidden_layers: 1, hidden_size: 32, num_heads: 2, head_dim: 16, vocab_size: 64}
            data: {task: recall, length: 32, batch: 4, recall_pairs: 4}
            optimizer: {lr: 1e-3}
            training: {steps: 60, accumulation: 2, eval_every: 20, eval_tokens: 64, log_every: 1}
            checkpoint: {every: 3, keep_last: 2}
            """.utf8
        ).write(to: URL(fileURLWithPath: folder.file("recipe.yaml")))
    }

    private func start(_ arguments: [String], output: Pipe? = nil) throws -> Process {
        let tests = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        let process = Process()
        process.executableURL = tests.deletingLastPathComponent().appendingPathComponent("gdn")
        process.arguments = arguments
        process.standardOutput = output ?? FileHandle.nullDevice
        process.standardError = output ?? FileHandle.nullDevice
        try process.run()
        return process
    }

    private func train(_ more: [String] = []) throws -> Process {
        try start(["train", folder.file("recipe.yaml")] + more)
    }

    private func status(_ process: Process) -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }

    private func waitForStep(_ step: Int, in run: String) throws {
        for _ in 0..<3000 {
            let found = (try? MetricsLog.read(folder.file("runs/\(run)/metrics.jsonl")))?.records.map(\.step).max() ?? 0
            if found >= step { return }
            usleep(2000)
        }
        Issue.record("the run did not reach step \(step)")
    }

    private func result(_ run: String) -> [Data?] {
        ["model.safetensors", "optimizer-rank0.safetensors"].map { content(folder.file("runs/\(run)/latest/\($0)")) }
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func aSignalEndsTheRunWithACheckpointAndStatus130(number: Int32) throws {
        #expect(try status(train(["--run.name", "straight"])) == 0)
        let process = try train()
        try waitForStep(7, in: "a")
        kill(process.processIdentifier, number)
        #expect(status(process) == 130)
        let store = CheckpointStore(folder: folder.file("runs/a"))
        let step = try #require(try store.latestSound()?.step)
        #expect(step >= 7 && step < 60)
        #expect(try status(train(["--resume", "auto"])) == 0)
        #expect(result("a") == result("straight"))
        #expect(!result("a").contains(nil))
    }

    /// Killed again and again, at whatever moment that happens to be, the run ends with the bytes of one never killed.
    @Test func aRunKilledAgainAndAgainEndsTheSame() throws {
        #expect(try status(train(["--run.name", "straight"])) == 0)
        var kills = 0
        for attempt in 0..<200 {
            let process = try train(["--resume", "auto"])
            let deadline = Date().addingTimeInterval(
                0.55 + 0.013 * Double(attempt * 7 % 40) + 0.02 * Double(attempt))
            while process.isRunning && Date() < deadline { usleep(1000) }
            if process.isRunning {
                kill(process.processIdentifier, SIGKILL)
                kills += 1
                process.waitUntilExit()
            } else if process.terminationStatus == 0 {
                break
            }
        }
        #expect(kills > 0)
        #expect(result("a") == result("straight"))
        #expect(!result("a").contains(nil))
    }

    @Test func theExitStatusSaysWhatHappened() throws {
        #expect(try status(train(["--training.stepps", "1"])) == 2)
        #expect(try status(train(["--model.num_v_heads", "3"])) == 2)
        #expect(try status(train(["--training.steps", "2"])) == 0)
        #expect(try status(train(["--training.steps", "2"])) == 1)
        #expect(try status(start(["config", "validate", folder.file("recipe.yaml")])) == 0)
        #expect(try status(start(["config", "show", "/nowhere.yaml"])) == 2)
        #expect(try status(start(["report", folder.file("runs/a")])) == 0)
        #expect(content(folder.file("runs/a/report.html")) != nil)
        #expect(try status(start(["report", folder.path])) == 1)
    }

    @Test func aSecondProcessIsRefused() throws {
        let first = try train(["--training.steps", "100000"])
        try waitForStep(1, in: "a")
        let pipe = Pipe()
        let second = try start(["train", folder.file("recipe.yaml"), "--resume", "auto"], output: pipe)
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(status(second) == 1)
        #expect(text.contains("another process (process \(first.processIdentifier))"))
        kill(first.processIdentifier, SIGTERM)
        #expect(status(first) == 130)
    }
}
