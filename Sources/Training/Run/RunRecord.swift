/// `run.json`: what made a run, beside its recipe.
import Foundation
import GDNData

/// Version of this package.
public let gatedDeltaNetVersion = "0.1.0"

/// Seed, version, machine and data of a run; one entry for each process that worked on it.
struct RunRecord: Codable {
    /// A process that trained in the folder.
    struct Process: Codable {
        var version: String
        var started: String
        var fromStep: Int
        var host: String
        var threads: Int
        var device: String
        var command: [String]
    }

    var version = gatedDeltaNetVersion
    var seed: Int
    var parameters: Int
    var totalSteps: Int
    /// From what and how the tokens were made; nil for generated data.
    var data: DataManifest?
    var processes: [Process] = []

    static let fileName = "run.json"

    /// The record of a folder; nil when there is none that can be read.
    init?(folder: String) {
        guard let data = FileManager.default.contents(atPath: "\(folder)/\(Self.fileName)"),
            let record = try? JSONDecoder().decode(Self.self, from: data)
        else { return nil }
        self = record
    }

    init(seed: Int, parameters: Int, totalSteps: Int, data: DataManifest?) {
        self.seed = seed
        self.parameters = parameters
        self.totalSteps = totalSteps
        self.data = data
    }

    /// The record as JSON.
    var text: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self) + "\n"
        }
    }

    /// This process, now.
    static func process(fromStep step: Int, threads: Int, device: String, command: [String]) -> Process {
        Process(
            version: gatedDeltaNetVersion, started: Date().formatted(.iso8601), fromStep: step,
            host: ProcessInfo.processInfo.hostName, threads: threads, device: device, command: command)
    }
}
