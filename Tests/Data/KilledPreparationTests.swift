import Foundation
import GDNData
import GDNFormats
import GDNTestSupport
import GDNTokenizers
import Testing

/// Whole processes: `gdn data prepare` killed at any moment, stopped by signals, refused. Runs the command `gdn` that
/// is built beside the tests.
@Suite(.serialized, .timeLimit(.minutes(30))) struct KilledPreparationTests {
    let folder = TemporaryFolder()

    private func start(_ arguments: [String], output: Pipe? = nil, input: Any? = nil) throws -> Process {
        let tests = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        let process = Process()
        process.executableURL = tests.deletingLastPathComponent().appendingPathComponent("gdn")
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = output ?? FileHandle.nullDevice
        process.standardInput = input ?? FileHandle.nullDevice
        try process.run()
        return process
    }

    private func run(_ arguments: [String]) throws -> (status: Int32, remarks: String) {
        let pipe = Pipe()
        let process = try start(arguments, output: pipe)
        let remarks = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, remarks)
    }

    private func prepare(_ paths: [String], _ name: String, _ more: [String] = []) -> [String] {
        ["data", "prepare"] + paths + ["--into", folder.path(name), "--shard-tokens", "300000", "--end-of-document"]
            + ["--journal-interval", "0.02"] + more
    }

    /// About 20 MB in three files.
    private func inputs() throws -> [String] {
        try (0..<3).map { file in
            let lines = (0..<14_000).map { line in
                line % 500 == 7
                    ? "{bad" : "{\"text\": \"\(String(repeating: "word \(line * 31 % 977) ", count: 30 + line % 40))\"}"
            }
            return try folder.write("\(file).jsonl", lines.joined(separator: "\n"))
        }
    }

    private func content(_ name: String) throws -> [String: Data?] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path(name))
        return Dictionary(
            uniqueKeysWithValues: names.map {
                ($0, FileManager.default.contents(atPath: folder.path("\(name)/\($0)")))
            })
    }

    /// Bytes of the shards in a folder, finished or not.
    private func written(_ name: String) -> Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path(name))) ?? []
        return names.filter { $0.contains(".tokens") }.reduce(0) { sum, file in
            var status = stat()
            return stat(folder.path("\(name)/\(file)"), &status) == 0 ? sum + Int(status.st_size) : sum
        }
    }

    /// Killed again and again, at whatever moment that happens to be, it ends with the bytes of a run never killed.
    ///
    /// The moments are places in the output, not times: how long a run takes depends on what else the machine does.
    @Test func killedPreparationEndsTheSame() throws {
        let paths = try inputs()
        #expect(try run(prepare(paths, "whole", ["--threads", "2"])).status == 0)
        let expected = try content("whole")
        #expect(expected.count > 60 && expected["manifest.json"] != nil)
        let whole = written("whole")
        var (kills, journals) = (0, 0)
        // On a busy machine a process may be done before this one has looked at its output; then it begins again.
        for round in 0..<20 where kills < 3 || journals < 2 {
            for attempt in 0..<12 {
                let process = try start(prepare(paths, "killed", ["--threads", "\(1 + attempt % 3)"]))
                let place = whole * (attempt + 1) / 13
                while process.isRunning, written("killed") < place { usleep(200) }
                usleep(UInt32(attempt * 7 % 10) * 2000)
                if process.isRunning {
                    kill(process.processIdentifier, SIGKILL)
                    kills += 1
                }
                process.waitUntilExit()
                if access(folder.path("killed/preparation-journal.json"), F_OK) == 0 { journals += 1 }
                if process.terminationReason == .exit {
                    #expect(process.terminationStatus == 0)
                    break
                }
            }
            #expect(try run(prepare(paths, "killed")).status == 0)
            let killed = try content("killed")
            #expect(killed.keys.sorted() == expected.keys.sorted(), "round \(round)")
            #expect(expected.filter { killed[$0.key] != $0.value }.keys.sorted() == [], "round \(round)")
            try FileManager.default.removeItem(atPath: folder.path("killed"))
        }
        #expect(kills >= 3 && journals >= 2, "\(kills) kills, \(journals) of them behind a journal's entry")
    }

    /// What is left by a process killed while it replaced a file, or between the manifest and the journal's removal: once
    /// in a dozen runs the test above met one of these.
    @Test func whatAKillLeavesIsTidiedUp() throws {
        let text = try folder.write("a.txt", String(repeating: "some text\n", count: 100))
        #expect(try run(prepare([text], "whole")).status == 0)
        let expected = try content("whole")
        try FileManager.default.createDirectory(atPath: folder.path("out"), withIntermediateDirectories: false)
        for name in ["preparation-plan.json.tmp-12", "preparation-journal.json.tmp-12"] {
            try folder.write("out/\(name)", "{")
        }
        #expect(try run(prepare([text], "out")).status == 0)
        #expect(try content("out") == expected)
        for name in ["preparation-plan.json", "preparation-journal.json", "manifest.json.tmp-345"] {
            try folder.write("out/\(name)", "{")
        }
        let again = try run(prepare([text], "out"))
        #expect(again.status == 0 && again.remarks.contains("prepared already"), "\(again.remarks)")
        #expect(try content("out") == expected)
    }

    @Test(arguments: [SIGINT, SIGTERM])
    func aSignalLeavesWhatCanBeGoneOnWith(number: Int32) throws {
        let paths = try inputs()
        #expect(try run(prepare(paths, "whole")).status == 0)
        var (status, remarks, out) = (Int32(0), "", "")
        // On a busy machine the process may be done before this one has seen its output.
        for attempt in 0..<20 where status == 0 {
            out = "out-\(attempt)"
            let pipe = Pipe()
            let process = try start(prepare(paths, out, ["--threads", "1"]), output: pipe)
            while process.isRunning, written(out) < 200_000 { usleep(200) }
            kill(process.processIdentifier, number)
            remarks = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            status = process.terminationStatus
        }
        #expect(status == 130)
        #expect(remarks.contains("goes on from there"))
        let other = try run(prepare(paths, out, ["--validation-share", "0.5"]))
        #expect(other.status == 1 && other.remarks.contains("begun with other settings"), "\(other.remarks)")
        #expect(try run(prepare(paths, out)).status == 0)
        #expect(try content(out) == content("whole"))
    }

    /// Also while it waits for standard input.
    @Test func aSignalEndsTheWaitForInput() throws {
        let input = Pipe()
        let process = try start(prepare(["-"], "out"), input: input)
        while access(folder.path("out/preparation-plan.json"), F_OK) != 0 { usleep(1000) }
        usleep(50_000)
        kill(process.processIdentifier, SIGINT)
        process.waitUntilExit()
        #expect(process.terminationStatus == 130)
        try input.fileHandleForWriting.close()
    }

    @Test func finishedFoldersAreKept() throws {
        let text = try folder.write("a.txt", String(repeating: "some text\n", count: 100))
        #expect(try run(prepare([text], "out")).status == 0)
        let before = try content("out")
        let again = try run(prepare([text], "out"))
        #expect(again.status == 0 && again.remarks.contains("prepared already"))
        let other = try run(prepare([text], "out", ["--split", "documents"]))
        #expect(other.status == 2 && other.remarks.contains("--restart"), "\(other.remarks)")
        #expect(try content("out") == before)
    }

    @Test func trainingRefusesDataOfAnotherTokenizer() throws {
        let text = try folder.write("a.txt", String(repeating: "some text\n", count: 500))
        #expect(try run(prepare([text], "out")).status == 0)
        let recipe = try folder.write(
            "recipe.yaml",
            """
            run: {name: a, folder: "\(folder.path("runs"))", threads: 1}
            model: {preset: tiny, num_hidden_layers: 1, hidden_size: 32, num_heads: 2, head_dim: 16, vocab_size: 320}
            data: {train: "\(folder.path("out"))", length: 32, batch: 2}
            training: {steps: 2}
            """)
        let refused = try run(["train", recipe])
        #expect(refused.status == 1)
        #expect(
            refused.remarks.contains("\(folder.path("out")): was prepared with another tokenizer than the model's"),
            "\(refused.remarks)")
        #expect(refused.remarks.contains("prepare the data again with the model's tokenizer"))
        let accepted = try run(["train", recipe, "--data.end_of_document", "true", "--run.name", "b"])
        #expect(accepted.status == 0, "\(accepted.remarks)")
    }

    /// A mixture of a prepared folder, a packed file and text: interrupted and resumed, the run ends with the same bytes
    /// as one that was not, batches made ahead or not.
    @Test func trainingOnAMixtureResumesExactly() throws {
        let text = try folder.write("a.txt", (0..<900).map { "line \($0)\n" }.joined())
        let other = try folder.write("b.txt", (0..<700).map { "other \($0 * $0)\n" }.joined())
        #expect(try run(prepare([text], "one")).status == 0)
        #expect(try run(prepare([other], "two", ["--format", "bin"])).status == 0)
        let mixture = folder.path("mixture.json")
        let names = ["\(folder.path("one"))=0.6", "\(folder.path("two/bin/train_0000000000.bin"))=0.3", "\(text)=0.1"]
        #expect(try run(["data", "mix"] + names + ["--into", mixture]).status == 0)
        let recipe = try folder.write(
            "recipe.yaml",
            """
            run: {folder: "\(folder.path("runs"))", threads: 1}
            model: {preset: tiny, num_hidden_layers: 1, hidden_size: 32, num_heads: 2, head_dim: 16, vocab_size: 320}
            data: {mixture: "\(mixture)", length: 32, batch: 3, end_of_document: true, separator: 256, separator_ends: true}
            schedule: {kind: constant}
            training: {steps: 20, accumulation: 2, log_every: 1, eval_tokens: 64}
            """)
        func train(_ name: String, _ more: [String]) throws {
            let result = try run(["train", recipe, "--run.name", name] + more)
            #expect(result.status == 0, "\(result.remarks)")
        }
        try train("straight", [])
        try train("unread", ["--data.prefetch", "0"])
        try train("parts", ["--training.steps", "7"])
        try train("parts", ["--training.steps", "13", "--resume", "auto", "--data.prefetch", "5"])
        try train("parts", ["--resume", "auto"])
        let weights = try ["straight", "unread", "parts"].map {
            try TemporaryFolder.read(folder.path("runs/\($0)/latest/model.safetensors"))
        }
        #expect(weights[1] == weights[0] && weights[2] == weights[0])
        let metrics = try String(
            decoding: TemporaryFolder.read(folder.path("runs/straight/metrics.jsonl")), as: UTF8.self)
        let shares = metrics.split(separator: "\n").compactMap { line -> Double? in
            (try? JSONValue(parsing: String(line)))?["waiting_share"]?.double
        }
        #expect(shares.count == 20 && shares.allSatisfy { (0...1).contains($0) })
        let different = try run(
            ["train", recipe, "--run.name", "parts", "--resume", "auto", "--data.separator_ends", "false"])
        #expect(different.status == 1 && different.remarks.contains("loader state: belongs to mixture"))
    }
}
