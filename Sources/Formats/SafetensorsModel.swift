import GDNTensor

/// The weights of a model folder: `model.safetensors`, or several files listed by `model.safetensors.index.json`.
///
/// The index is a JSON object whose `weight_map` gives for each tensor the file of the folder that holds it.
public struct SafetensorsModel: Sendable {
    /// The file that was opened: the only one, or the index.
    public let path: String
    /// All tensors, files in order of their names, tensors in the order of their bytes.
    public let entries: [SafetensorsEntry]
    private let files: [SafetensorsFile]
    private let place: [String: Int]

    /// Opens the weights of a folder.
    /// - Parameters:
    ///   - folder: a model folder
    ///   - name: the single file's name; the index adds `.index.json`
    /// - Throws: `FormatError` when there are no weights, a listed file or tensor is missing, or a file is broken.
    public init(folder: String, name: String = "model.safetensors") throws {
        let single = "\(folder)/\(name)"
        let index = "\(single).index.json"
        if isFile(single) {
            try self.init(path: single, files: [SafetensorsFile(single)], map: nil)
        } else if isFile(index) {
            let map = try Self.weightMap(index)
            let files = try Set(map.values).sorted().map { try SafetensorsFile("\(folder)/\($0)") }
            try self.init(path: index, files: files, map: map.mapValues { "\(folder)/\($0)" })
        } else {
            throw FormatError(
                file: folder, rule: "has neither \(name) nor \(name).index.json",
                advice: "name a folder that holds a model")
        }
    }

    private init(path: String, files: [SafetensorsFile], map: [String: String]?) throws {
        self.path = path
        self.files = files
        var place: [String: Int] = [:]
        var entries: [SafetensorsEntry] = []
        for (number, file) in files.enumerated() {
            for entry in file.entries where map == nil || map?[entry.name] == file.path {
                place[entry.name] = number
                entries.append(entry)
            }
        }
        for (name, file) in map ?? [:] where place[name] == nil {
            throw FormatError(
                file: path, part: "tensor \(name)", rule: "listed in \(file), which does not hold it",
                advice: "fetch the model again")
        }
        self.place = place
        self.entries = entries
    }

    /// Names of all tensors, in the order of `entries`.
    public var names: [String] { entries.map(\.name) }

    /// Texts under `__metadata__`, of all files together.
    public var metadata: [String: String] {
        files.reduce(into: [:]) { $0.merge($1.metadata) { first, _ in first } }
    }

    /// The tensor of this name, or nil.
    public subscript(name: String) -> SafetensorsEntry? { place[name].flatMap { files[$0][name] } }

    /// The file that holds a tensor, with all its accessors.
    /// - Throws: `FormatError` when no file holds it.
    public func file(of name: String) throws -> SafetensorsFile {
        guard let number = place[name] else {
            let near = nearest(to: name, among: names).map { ", the nearest name is \($0)" } ?? ""
            throw FormatError(
                file: path, part: "tensor \(name)", rule: "not among the \(entries.count) tensors\(near)",
                advice: "check that the weights belong to this model")
        }
        return files[number]
    }

    /// The elements of a tensor as singles; see `SafetensorsFile.floats(of:)`.
    public func floats(of name: String) throws -> [Float] { try file(of: name).floats(of: name) }

    private static func weightMap(_ path: String) throws -> [String: String] {
        let refuse = { (rule: String, tensor: String?) in
            FormatError(
                file: path, part: tensor.map { "tensor \($0)" }, rule: rule, advice: "fetch the model again")
        }
        guard let map = try JSONValue(contentsOf: path)["weight_map"]?.object else {
            throw refuse("must have an object weight_map", nil)
        }
        var result: [String: String] = [:]
        for (name, value) in map.members {
            guard let file = value.string, !file.isEmpty, !file.contains("/") else {
                throw refuse("must name a file of the same folder, it says \(value.text())", name)
            }
            result[name] = file
        }
        return result
    }
}

private func isFile(_ path: String) -> Bool {
    access(path, F_OK) == 0
}
