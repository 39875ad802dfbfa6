import ArgumentParser
import FoundationEssentials
import GatedDeltaNet

/// `gdn report`: a run as one HTML page.
struct Report: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make one HTML page of a run: loss, throughput, learning rate, gradient norm, evaluations, samples.",
        discussion: "The page needs nothing else: no scripts, no network.")

    @Argument(help: "A run's folder, e.g. runs/shakespeare.")
    var folder: String

    @Option(help: "File to write; report.html in the run's folder when not given.")
    var output: String?

    func run() throws {
        let path = output ?? folder + "/report.html"
        let html = try RunReport(run: folder).html
        do {
            try Data(html.utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw TrainingError("\(path): cannot be written; check the folder and its permissions, or use --output")
        }
        Terminal.note("wrote \(path)")
    }
}
