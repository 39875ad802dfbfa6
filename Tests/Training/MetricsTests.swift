import GDNTestSupport
import Foundation
import GDNFormats
import GDNTraining
import Testing

@Suite struct MetricsTests {
    private func step(_ number: Int, loss: Double? = 2.5) -> MetricsRecord {
        .step(
            StepRecord(
                step: number, tokens: number * 100, loss: loss, smoothedLoss: 2.25, gradientNorm: 0.5,
                learningRate: 1e-3, tokensPerSecond: 1234.5, peakShare: 0.25, memory: 1 << 30,
                seconds: Double(number), skipped: 0, waitingShare: 0.125))
    }

    @Test func recordsReadBackAsWritten() throws {
        let folder = TemporaryFolder()
        let records: [MetricsRecord] = [
            step(1), step(2, loss: nil),
            .evaluation(
                EvaluationRecord(step: 2, length: 64, tokens: 1000, loss: 1.5, bitsPerByte: 2.1, accuracy: 0.5)),
            .evaluation(EvaluationRecord(step: 2, length: 128, tokens: 1000, loss: 1.25)),
            .sample(step: 2, prompt: "a\n\"b\"", text: "π\u{1}"),
        ]
        let log = try MetricsLog(folder.path("metrics.jsonl"))
        for record in records {
            try log.write(record)
            // Each line is there at once, not when the file is closed.
            #expect(try MetricsLog.read(folder.path("metrics.jsonl")).records.last == record)
        }
        let read = try MetricsLog.read(folder.path("metrics.jsonl"))
        #expect(read.records == records)
        #expect(read.malformed == 0)
    }

    @Test func resumedRecordsReplaceLaterOnesAndATornLineSpoilsNothing() throws {
        let folder = TemporaryFolder()
        let path = folder.path("metrics.jsonl")
        do {
            let log = try MetricsLog(path)
            for number in 1...4 { try log.write(step(number)) }
        }
        let handle = try #require(FileHandle(forWritingAtPath: path))
        handle.seekToEndOfFile()
        handle.write(Data("{\"kind\":\"st".utf8))
        try handle.close()
        let log = try MetricsLog(path)
        try log.write(.resume(step: 2))
        try log.write(step(3, loss: 9))
        let read = try MetricsLog.read(path)
        #expect(read.records == [step(1), step(2), step(3, loss: 9)])
        #expect(read.malformed == 1)
    }

    @Test func infinityIsWrittenAsNull() throws {
        let folder = TemporaryFolder()
        let log = try MetricsLog(folder.path("m"))
        try log.write(.evaluation(EvaluationRecord(step: 1, length: 8, tokens: 1, loss: 1e6)))
        let text = String(decoding: try #require(content(folder.path("m"))), as: UTF8.self)
        #expect(text.contains("\"perplexity\":null"))
    }

    @Test func smoothedLossIsUnbiased() {
        var smoothed = Smoothed()
        #expect(smoothed.value == nil)
        smoothed.add(3)
        #expect(abs((smoothed.value ?? 0) - 3) < 1e-12)
        for _ in 0..<1000 { smoothed.add(1) }
        #expect(abs((smoothed.value ?? 0) - 1) < 1e-8)
    }

    @Test func numbersReadAsPeopleWriteThem() {
        #expect(Readable.fixed(-0.004, 2) == "0.00")
        #expect(Readable.fixed(3.14159, 2) == "3.14")
        #expect(Readable.fixed(1.999, 2) == "2.00")
        #expect(Readable.fixed(.nan, 2) == "nan")
        #expect(Readable.fixed(9.9e14, 4) == "990000000000000.0")
        #expect(Readable.number(1234.5) == "1235")
        #expect(Readable.number(-12.34) == "-12.3")
        #expect(Readable.number(1.234) == "1.23")
        #expect(Readable.number(0.01234) == "0.0123")
        #expect(Readable.scientific(2.96e-7, 1) == "3.0e-07")
        #expect(Readable.scientific(9.96e-7, 1) == "1.0e-06")
        #expect(Readable.scientific(4e-4) == "4.00e-04")
        #expect(Readable.scientific(9.999e-4) == "1.00e-03")
        #expect(Readable.scientific(123456) == "1.23e+05")
        #expect(Readable.count(950) == "950")
        #expect(Readable.count(999_900) == "1.00M")
        #expect(Readable.count(12_345) == "12.3k")
        #expect(Readable.count(1.309e9) == "1.31B")
        #expect(Readable.bytes(512 << 20) == "512 MiB")
        #expect(Readable.bytes(5 << 28) == "1.3 GiB")
        #expect(Readable.duration(42.4) == "0:42")
        #expect(Readable.duration(7507) == "2:05:07")
        #expect(Readable.duration(3 * 86_400 + 4 * 3600) == "3 d 4:00:00")
        #expect(Readable.duration(.infinity) == "–")
    }

    @Test func progressLineHasEveryPart() {
        guard case .step(let record) = step(120) else { return }
        let line = Progress(totalSteps: 1000).line(record, remaining: 192)
        #expect(
            line
                == "step 120/1000  12.0k tokens  loss 2.5000 (2.2500)  norm 0.50  lr 1.00e-03  1.23k tok/s  25 % peak  13 % waiting for data  1.0 GiB  ETA 3:12"
        )
    }

    @Test func consoleRewritesOnlyOnATerminal() {
        var plain = ""
        let file = Console(isTerminal: false) { plain += $0 }
        file.live("a")
        file.line("b")
        #expect(plain == "b\n")
        var text = ""
        let terminal = Console(isTerminal: true, width: { 5 }) { text += $0 }
        terminal.live("abcdefgh")
        terminal.line("b")
        terminal.line("c")
        #expect(text == "\r\u{1B}[Kabcd\r\u{1B}[Kb\nc\n")
    }

    /// A full disk behind standard output must not cost a run; its first error is kept.
    @Test func consoleKeepsTheFirstErrorAndWritesNoMore() throws {
        let full = open("/dev/full", O_WRONLY)
        try #require(full >= 0)
        defer { close(full) }
        var written: [String] = []
        let console = Console(isTerminal: false) { text in
            written.append(text)
            if written.count > 1 { try StandardOutput.write(text, to: full) }
        }
        console.line("a")
        #expect(console.failure == nil)
        console.line("b")
        console.line("c")
        #expect(written == ["a\n", "b\n"])
        #expect("\(try #require(console.failure))".contains("standard output: write failed"))
    }

    @Test func memoryIsMeasured() {
        #expect(ProcessMemory.resident > 1 << 20)
        #expect(ProcessMemory.peak >= ProcessMemory.resident / 2)
    }
}

@Suite struct ReportTests {
    private func write(_ folder: TemporaryFolder, steps: Int) throws {
        let log = try MetricsLog(folder.path("metrics.jsonl"))
        for number in 1...steps {
            try log.write(
                .step(
                    StepRecord(
                        step: number, tokens: number * 100, loss: number == 3 ? nil : 5 / Double(number),
                        smoothedLoss: 5 / Double(number), gradientNorm: 1, learningRate: 1e-3, tokensPerSecond: 1000,
                        peakShare: nil, memory: 1, seconds: 1, skipped: 0)))
        }
        try log.write(.evaluation(EvaluationRecord(step: steps, length: 64, tokens: 10, loss: 1.5, bitsPerByte: 2.164)))
        try log.write(.sample(step: steps, prompt: "<b>", text: "& so on"))
    }

    @Test func pageIsWellFormedAndSelfContained() throws {
        let folder = TemporaryFolder()
        try write(folder, steps: 50)
        try Data("optimizer:\n  lr: 0.001 # <x>\n".utf8).write(to: URL(fileURLWithPath: folder.path("recipe.yaml")))
        let html = try RunReport(run: folder.root).html
        #expect(html.components(separatedBy: "<svg").count == 5)
        #expect(html.components(separatedBy: "<polyline").count == 6)
        #expect(html.contains("&lt;b&gt;</b>&amp; so on"))
        #expect(html.contains("2.1640"))
        #expect(html.contains("# &lt;x&gt;"))
        for outside in ["http://", "https://", "<script", "<link", "src="] { #expect(!html.contains(outside)) }
        let body = html.components(separatedBy: "<main>")[1].components(separatedBy: "</main>")[0]
        let parser = XMLStructure(body)
        #expect(parser.isBalanced)
    }

    @Test func longRunsKeepTheirExtremes() throws {
        let folder = TemporaryFolder()
        let log = try MetricsLog(folder.path("metrics.jsonl"))
        for number in 1...20_000 {
            try log.write(
                .step(
                    StepRecord(
                        step: number, tokens: number, loss: number == 7777 ? 99 : 1, smoothedLoss: 1, gradientNorm: 1,
                        learningRate: 1, tokensPerSecond: 1, peakShare: nil, memory: 1, seconds: 1, skipped: 0)))
        }
        let html = try RunReport(run: folder.root).html
        #expect(html.utf8.count < 400_000)
        // The spike reaches the top of its plot.
        #expect(html.contains(",12.0 "))
    }

    @Test func aFolderThatIsNoRunIsNamed() throws {
        let folder = TemporaryFolder()
        #expect { try RunReport(run: folder.root) } throws: { "\($0)".contains("is no run's folder") }
    }
}

/// Whether opening and closing tags match.
private struct XMLStructure {
    var isBalanced = true

    init(_ text: String) {
        var open: [Substring] = []
        for piece in text.split(separator: "<", omittingEmptySubsequences: false).dropFirst() {
            guard let end = piece.firstIndex(of: ">") else {
                isBalanced = false
                return
            }
            let tag = piece[..<end]
            if tag.hasPrefix("/") {
                if open.popLast() != tag.dropFirst() { isBalanced = false }
            } else if !tag.hasSuffix("/") {
                open.append(tag.prefix { $0 != " " })
            }
        }
        if !open.isEmpty { isBalanced = false }
    }
}
