import GDNFormats
import GDNTestSupport
import Foundation
import GDNTraining
import Testing

/// (The test runner blocks signals and its children inherit that; a run that did not unblock them waited for ever.)
/// Whole processes: signals, kills, exit statuses. Runs the command `gdn` that is built beside the tests.
@Suite(.serialized, .timeLimit(.minutes(30))) struct ProcessTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = TemporaryFolder()
        try Data(
            """
            run: {name: a, folder: "\(folder.path("runs"))", threads: 1}
            model: {preset: tiny, num_hidden_layers: 1, hidden_size: 32, num_heads: 2, head_dim: 16, vocab_size: 64}
            data: {task: recall, length: 32, batch: 4, recall_pairs: 4}
            optimizer: {lr: 1e-3}
            training: {steps: 60, accumulation: 2, eval_every: 20, eval_tokens: 64, log_every: 1}
            checkpoint: {every: 3, keep_last: 2}
            """.utf8
        ).write(to: URL(fileURLWithPath: folder.path("recipe.yaml")))
    }

    private func start(
        _ arguments: [String], output: Any? = nil, error: Any? = nil, library: String? = nil, input: Any? = nil
    ) throws -> Process {
        let tests = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        let process = Process()
        process.executableURL = tests.deletingLastPathComponent().appendingPathComponent("gdn")
        process.arguments = arguments
        process.standardOutput = output ?? FileHandle.nullDevice
        process.standardError = error ?? output ?? FileHandle.nullDevice
        if let input { process.standardInput = input }
        if let library {
            process.environment = ProcessInfo.processInfo.environment.merging(["GDN_BLAS": library]) { $1 }
        }
        try process.run()
        return process
    }

    private func train(_ more: [String] = []) throws -> Process {
        try start(["train", folder.path("recipe.yaml")] + more)
    }

    private func status(_ process: Process) -> Int32 {
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// Waits until a run has done a step or is over, as long as that takes on a busy machine.
    private func wait(for process: Process, toReach step: Int, in run: String) {
        while process.isRunning {
            let found = (try? MetricsLog.read(folder.path("runs/\(run)/metrics.jsonl")))?.records.map(\.step).max() ?? 0
            if found >= step { return }
            usleep(2000)
        }
    }

    private func result(_ run: String) -> [Data?] {
        ["model.safetensors", "optimizer-rank0.safetensors"].map { content(folder.path("runs/\(run)/latest/\($0)")) }
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func aSignalEndsTheRunWithACheckpointAndStatus130(number: Int32) throws {
        #expect(try status(train(["--run.name", "straight"])) == 0)
        var (ended, name) = (Int32(0), "")
        // On a busy machine the run may be over before this process has seen its steps.
        for attempt in 0..<20 where ended == 0 {
            name = "stopped-\(attempt)"
            let process = try train(["--run.name", name])
            wait(for: process, toReach: 7, in: name)
            kill(process.processIdentifier, number)
            ended = status(process)
        }
        #expect(ended == 130)
        let store = CheckpointStore(folder: folder.path("runs/\(name)"))
        let step = try #require(try store.latestSound()?.step)
        #expect(step >= 7 && step < 60)
        #expect(try status(train(["--run.name", name, "--resume", "auto"])) == 0)
        #expect(result(name) == result("straight"))
        #expect(!result(name).contains(nil))
    }

    /// Killed again and again, at whatever moment that happens to be, the run ends with the bytes of one never killed.
    ///
    /// The moments are steps and a little more, not times: how long a step takes depends on what else the machine does.
    @Test func aRunKilledAgainAndAgainEndsTheSame() throws {
        #expect(try status(train(["--run.name", "straight"])) == 0)
        var (kills, name) = (0, "")
        for round in 0..<20 where kills < 3 {
            name = "killed-\(round)"
            for attempt in 0..<12 {
                let process = try train(["--run.name", name, "--resume", "auto"])
                wait(for: process, toReach: 1 + attempt * 5, in: name)
                usleep(UInt32(attempt * 7 % 10) * 1300)
                if process.isRunning {
                    kill(process.processIdentifier, SIGKILL)
                    kills += 1
                }
                process.waitUntilExit()
                if process.terminationReason == .exit {
                    #expect(process.terminationStatus == 0)
                    break
                }
            }
            // A run that is over is not gone on with.
            if result(name) != result("straight") {
                #expect(try status(train(["--run.name", name, "--resume", "auto"])) == 0)
            }
            #expect(result(name) == result("straight"))
            #expect(!result(name).contains(nil))
        }
        #expect(kills >= 3)
    }

    /// Killed between its last checkpoint and the link to it: going on with a run that is over mends the link.
    @Test func aKillBetweenACheckpointAndItsLinkIsMadeGood() throws {
        #expect(try status(train(["--run.name", "a"])) == 0)
        let expected = result("a")
        let latest = folder.path("runs/a/latest")
        try FileManager.default.removeItem(atPath: latest)
        try FileManager.default.createSymbolicLink(atPath: latest, withDestinationPath: "step-00000057")
        #expect(result("a") != expected && !result("a").contains(nil))
        #expect(try status(train(["--run.name", "a", "--resume", "auto"])) == 0)
        #expect(result("a") == expected)
    }

    @Test func theExitStatusSaysWhatHappened() throws {
        #expect(try status(train(["--training.stepps", "1"])) == 2)
        #expect(try status(train(["--model.num_v_heads", "3"])) == 2)
        #expect(try status(train(["--training.steps", "2"])) == 0)
        #expect(try status(train(["--training.steps", "2"])) == 1)
        #expect(try status(start(["config", "validate", folder.path("recipe.yaml")])) == 0)
        #expect(try status(start(["config", "show", "/nowhere.yaml"])) == 2)
        #expect(try status(start(["report", folder.path("runs/a")])) == 0)
        #expect(content(folder.path("runs/a/report.html")) != nil)
        #expect(try status(start(["report", folder.root])) == 1)
    }

    /// Runs a command to its end; returns its status and what it said on standard error, or on both.
    private func outcome(_ arguments: [String], output: Any? = nil, library: String? = nil) throws -> (Int32, String) {
        let pipe = Pipe()
        let process = try start(arguments, output: output ?? pipe, error: pipe, library: library)
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        return (status(process), text)
    }

    /// A standard output that is full was once not noticed.
    @Test func aFullStandardOutputIsAnError() throws {
        let full = try #require(FileHandle(forWritingAtPath: "/dev/full"))
        try Data(repeating: UInt8(ascii: "a"), count: 4000).write(to: URL(fileURLWithPath: folder.path("text")))
        let text = ["--data.task", "text", "--data.train", folder.path("text"), "--model.vocab_size", "256"]
        #expect(try status(train(text + ["--training.steps", "1"])) == 0)
        let generate = ["generate", "--model", folder.path("runs/a/latest"), "--prompt", "a", "--max-tokens", "4"]
        #expect(try outcome(generate).0 == 0)
        for command in [generate, ["config", "keys"], ["doctor"], ["--help"], ["--version"]] {
            let (status, message) = try outcome(command, output: full)
            #expect(status == 1, "\(command)")
            #expect(message.contains("standard output: write failed: No space left on device"), "\(command)")
        }
        // A training goes on to its end first.
        let run = ["train", folder.path("recipe.yaml"), "--run.name", "full", "--training.steps", "5"]
        let (status, message) = try outcome(run, output: full)
        #expect(status == 1)
        #expect(message.contains("standard output: write failed"))
        #expect(try CheckpointStore(folder: folder.path("runs/full")).latestSound()?.step == 5)
    }

    /// Lines in, lines out in the same order; a line that is wrong is named, and nothing is left half written.
    @Test func scoresComeInTheOrderOfTheLines() throws {
        try Data(repeating: UInt8(ascii: "a"), count: 4000).write(to: URL(fileURLWithPath: folder.path("text")))
        let text = ["--data.task", "text", "--data.train", folder.path("text"), "--model.vocab_size", "256"]
        #expect(try status(train(text + ["--training.steps", "1"])) == 0)
        let (input, output) = (folder.path("in.jsonl"), folder.path("out.jsonl"))
        let score = ["score", "--model", folder.path("runs/a/latest"), "--input", input, "--output", output]
        func lines(_ text: String) throws -> (Int32, String) {
            try Data(text.utf8).write(to: URL(fileURLWithPath: input))
            return try outcome(score)
        }
        #expect(try lines("{\"text\": \"ab\"}\n\n{\"tokens\": [97, 98]}\n{\"tokens\": [7]}").0 == 0)
        let written = try #require(content(output))
        let records = try written.split(separator: UInt8(ascii: "\n")).map {
            try JSONValue(parsing: String(decoding: $0, as: UTF8.self))
        }
        #expect(records.count == 3)
        #expect(records[0] == records[1])
        #expect(records[0]["tokens"] == .array([97, 98]))
        #expect(records[2] == .object(["tokens": .array([7]), "logprobs": .array([.null])]))
        let scores = try #require(records[0]["logprobs"]?.array)
        #expect(scores.count == 2 && scores[0] == .null)
        #expect(try #require(scores[1].double) < 0)
        for (line, place) in [
            ("{\"tokens\": [1.5]}", ":2: tokens holds 1.5"), ("{\"x\": 1}", ":2: expected"), ("{", ":2: no"),
        ] {
            let (status, message) = try lines("{\"text\": \"ab\"}\n\(line)\n")
            #expect(status == 1 && message.contains("in.jsonl\(place)"), "\(message)")
        }
        #expect(content(output) == written)
        // From a pipe and into one.
        let (source, sink) = (Pipe(), Pipe())
        let piped = try start(
            Array(score[..<3]) + ["--input", "-", "--output", "/dev/stdout"], output: sink,
            error: FileHandle.nullDevice, input: source)
        let requests = "{\"text\": \"ab\"}\n{\"tokens\": [97, 98]}\n{\"tokens\": [7]}\n"
        source.fileHandleForWriting.write(Data(requests.utf8))
        try source.fileHandleForWriting.close()
        #expect(sink.fileHandleForReading.readDataToEndOfFile() == written)
        #expect(status(piped) == 0)
    }

    /// As with `head`: no message, the status a shell gives to what SIGPIPE ends. A training keeps what it has.
    @Test func aClosedPipeEndsQuietly() throws {
        let gone = Pipe()
        try gone.fileHandleForReading.close()
        let (keys, message) = try outcome(["config", "keys"], output: gone)
        #expect(keys == 141 || keys == SIGPIPE)
        #expect(message.isEmpty)

        let (read, said) = (Pipe(), Pipe())
        let arguments = ["train", folder.path("recipe.yaml"), "--training.steps", "100000"]
        let training = try start(arguments, output: read, error: said)
        wait(for: training, toReach: 2, in: "a")
        try read.fileHandleForReading.close()
        let note = said.fileHandleForReading.readDataToEndOfFile()
        #expect(status(training) == 141)
        #expect(note.isEmpty)
        let step = try #require(try CheckpointStore(folder: folder.path("runs/a")).latestSound()?.step)
        #expect(step >= 2 && step < 100_000)
    }

    @Test func theVersionIsToldAndMisuseIsExplained() throws {
        #expect(try outcome(["--version"]) == (0, gatedDeltaNetVersion + "\n"))
        #expect(try status(train(["--training.steps", "1"])) == 0)
        let model = folder.path("runs/a/latest")
        let (status, message) = try outcome(["generate", "--model", model, "--prompt", "a"])
        #expect(status == 1)
        #expect(message.contains("was trained on the recall task: it has no tokenizer"))
        // Such an option was once noticed after the prompt had been printed, with status 1.
        let (misused, advice) = try outcome(["generate", "--model", model, "--prompt", "a", "--top-p", "1.5"])
        #expect(misused == 2 && advice.contains("top-p is 1.5; it must be above 0 and at most 1"))
        let train = ["train", folder.path("recipe.yaml"), "--run.name", "b"]
        let (refused, reason) = try outcome(train, library: "onednnn")
        #expect(refused == 1)
        #expect(reason.contains("GDN_BLAS is onednnn") && reason.contains("automatic, oneDNN, openBLAS, builtIn"))
        let (healthy, report) = try outcome(["doctor"], library: "onednnn")
        #expect(healthy == 0)
        #expect(report.contains("GDN_BLAS is onednnn"))
    }

    @Test func aSecondProcessIsRefused() throws {
        let first = try train(["--training.steps", "100000"])
        wait(for: first, toReach: 1, in: "a")
        let pipe = Pipe()
        let second = try start(["train", folder.path("recipe.yaml"), "--resume", "auto"], output: pipe)
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(status(second) == 1)
        #expect(text.contains("another process (process \(first.processIdentifier))"))
        kill(first.processIdentifier, SIGTERM)
        #expect(status(first) == 130)
    }
}
