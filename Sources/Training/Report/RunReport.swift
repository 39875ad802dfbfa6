/// `gdn report`: a run as one HTML page that needs nothing else.
import GDNFormats
import GDNTensor

/// The report of a run: plots of loss, throughput, learning rate and gradient norm, evaluations, samples, recipe.
public struct RunReport {
    private let name: String
    private let records: [MetricsRecord]
    private let recipe: String
    private let facts: [(String, String)]

    /// Reads a run's folder: `metrics.jsonl`, and `recipe.yaml` and `run.json` where there are such.
    /// - Throws: `CheckpointError` when the folder is no run's folder.
    public init(run folder: String) throws {
        let path = "\(folder)/metrics.jsonl"
        guard access(path, R_OK) == 0 else {
            throw CheckpointError(
                folder, "is no run's folder: it has no readable metrics.jsonl; name one like runs/NAME")
        }
        let (records, malformed) = try MetricsLog.read(path)
        let recipe = (try? MappedFile("\(folder)/recipe.yaml")).map { file in
            withExtendedLifetime(file) { String(decoding: file.bytes, as: UTF8.self) }
        }
        var facts = malformed > 0 ? [("lines of metrics.jsonl that are no records", "\(malformed)")] : []
        if let run = try? JSONValue(contentsOf: "\(folder)/run.json") {
            for (key, value) in run.object?.members ?? [] where value.string != nil || value.double != nil {
                facts.append((key, value.string ?? value.text()))
            }
        }
        let name = folder.split(separator: "/").last.map(String.init) ?? folder
        self.init(name: name, records: records, recipe: recipe ?? "", facts: facts)
    }

    /// A report of given records.
    init(name: String, records: [MetricsRecord], recipe: String = "", facts: [(String, String)] = []) {
        self.name = name
        self.records = records
        self.recipe = recipe
        self.facts = facts
    }

    /// The page.
    public var html: String {
        let title = escaped("Training run \(name)")
        var parts = [
            "<!doctype html>", "<html lang=\"en\"><head><meta charset=\"utf-8\">",
            "<meta name=\"viewport\" content=\"width=device-width\"><title>\(title)</title>",
            "<style>\(Self.style)</style></head><body><main>", "<h1>\(title)</h1>", summary,
        ]
        for (heading, plot) in plots { parts.append("<section><h2>\(escaped(heading))</h2>\(plot.svg)</section>") }
        parts += [evaluationTable, samples]
        if !facts.isEmpty {
            let rows = facts.map { "<tr><th>\(escaped($0.0))</th><td>\(escaped($0.1))</td></tr>" }
            parts.append("<section><h2>Run</h2><table>\(rows.joined())</table></section>")
        }
        if !recipe.isEmpty { parts.append("<section><h2>Recipe</h2><pre>\(escaped(recipe))</pre></section>") }
        return (parts + ["</main></body></html>"]).filter { !$0.isEmpty }.joined(separator: "\n") + "\n"
    }

    private var steps: [StepRecord] {
        records.compactMap { if case .step(let record) = $0 { record } else { nil } }
    }

    private var evaluations: [EvaluationRecord] {
        records.compactMap { if case .evaluation(let record) = $0 { record } else { nil } }
    }

    private var summary: String {
        guard let last = steps.last else { return "<p>No step was recorded.</p>" }
        var text =
            "\(last.step) steps, \(Readable.count(Double(last.tokens))) tokens, \(Readable.duration(last.seconds))"
        if let loss = last.smoothedLoss { text += ", training loss \(Readable.fixed(loss, 4)) nats a token" }
        if last.skipped > 0 { text += ", \(last.skipped) steps skipped because their gradient was not finite" }
        return "<p>\(escaped(text)).</p>"
    }

    private var plots: [(String, Plot)] {
        func line(_ name: String, _ style: String, _ value: (StepRecord) -> Double?) -> Plot.Series {
            let points = steps.compactMap { record in value(record).map { (x: Double(record.step), y: $0) } }
            return Plot.Series(name: name, points: points.filter { $0.y.isFinite }, style: style)
        }
        let validation = Plot.Series(
            name: "validation", points: shortestEvaluations.map { (x: Double($0.step), y: $0.loss) }, style: "dots")
        return [
            (
                "Loss, nats a token (thin: step, thick: smoothed, dots: validation)",
                Plot(
                    title: "loss",
                    series: [line("loss", "raw") { $0.loss }, line("smoothed", "main") { $0.smoothedLoss }, validation])
            ),
            (
                "Throughput, tokens a second",
                Plot(title: "throughput", series: [line("tokens/s", "main") { $0.tokensPerSecond }], fromZero: true)
            ),
            (
                "Learning rate",
                Plot(
                    title: "learning rate", series: [line("learning rate", "main") { $0.learningRate }], fromZero: true)
            ),
            (
                "Gradient norm before clipping",
                Plot(title: "gradient norm", series: [line("norm", "main") { $0.gradientNorm }], fromZero: true)
            ),
        ]
    }

    /// Of each step's evaluations the one at the shortest length.
    private var shortestEvaluations: [EvaluationRecord] {
        guard let shortest = evaluations.map(\.length).min() else { return [] }
        return evaluations.filter { $0.length == shortest }
    }

    private var evaluationTable: String {
        guard let last = evaluations.last?.step else { return "" }
        let optional = { (value: Double?, decimals: Int) in value.map { Readable.fixed($0, decimals) } ?? "–" }
        let rows = evaluations.filter { $0.step == last }.map { record in
            let cells = [
                "\(record.length)", "\(record.tokens)", Readable.fixed(record.loss, 4),
                Readable.fixed(record.perplexity, 2), optional(record.bitsPerByte, 4), optional(record.accuracy, 4),
            ]
            return "<tr>" + cells.map { "<td>\($0)</td>" }.joined() + "</tr>"
        }
        let heads = ["length", "tokens", "loss", "perplexity", "bits a byte", "accuracy"].map { "<th>\($0)</th>" }
        return
            "<section><h2>Evaluation after step \(last)</h2><table><tr>\(heads.joined())</tr>\(rows.joined())</table></section>"
    }

    private var samples: String {
        let items = records.compactMap { record -> String? in
            guard case .sample(let step, let prompt, let text) = record else { return nil }
            return "<h3>step \(step)</h3><pre><b>\(escaped(prompt))</b>\(escaped(text))</pre>"
        }
        return items.isEmpty ? "" : "<section><h2>Samples</h2>\(items.suffix(8).joined())</section>"
    }

    private static let style = """
        body{font:15px/1.5 system-ui,sans-serif;margin:0;color:#1c1e21;background:#fff}
        main{max-width:760px;margin:0 auto;padding:24px}h1{font-size:24px}h2{font-size:17px;margin:28px 0 6px}
        h3{font-size:14px;margin:12px 0 4px}svg{width:100%;height:auto}svg text{font-size:11px;fill:#666}
        .grid{stroke:#8884;stroke-width:1}.raw,.main{fill:none;stroke:#3b6ea5}.raw{stroke-width:.7;opacity:.45}
        .main{stroke-width:1.8}.dots circle{fill:#c0392b}table{border-collapse:collapse}
        th,td{padding:3px 12px 3px 0;text-align:left;font-variant-numeric:tabular-nums}
        pre{background:#8881;padding:10px;overflow:auto;white-space:pre-wrap}.none{color:#888}
        @media(prefers-color-scheme:dark){body{color:#ddd;background:#16181b}svg text{fill:#aaa}.raw,.main{stroke:#7fb2e5}}
        """
}
