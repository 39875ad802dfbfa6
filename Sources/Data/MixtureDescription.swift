import GDNFormats
import GDNTensor

/// A file that names the sources of a mixture with their weights, for `data.mixture` of a recipe.
///
///     {"format": "gdn-mixture", "version": 1, "sources": [{"path": "/data/web", "weight": 0.8}, …]}
///
/// Paths that are not absolute begin at the file's folder.
public struct MixtureDescription: Sendable, Equatable {
    /// One source.
    public struct Source: Sendable, Equatable {
        /// A prepared folder, packed files, or text.
        public var path: String
        /// Its share of rows, relative to the other weights.
        public var weight: Double

        /// A source with its weight.
        public init(path: String, weight: Double) {
            self.path = path
            self.weight = weight
        }
    }

    /// The sources in order.
    public var sources: [Source]

    /// A mixture of sources.
    /// - Throws: `DataError` when there are none or a weight is not a positive number.
    public init(_ sources: [Source]) throws {
        self.sources = sources
        _ = try MixtureSchedule(weights: sources.map(\.weight))
    }

    /// Reads a description.
    /// - Throws: `FormatError` with the broken rule, `DataError` for impossible weights.
    public init(contentsOf path: String) throws {
        func refuse(_ rule: String) -> FormatError {
            FormatError(file: path, rule: rule, advice: "write it with gdn data mix")
        }
        guard let object = try JSONValue(contentsOf: path).object, object["format"] == .string("gdn-mixture") else {
            throw refuse("must be an object with format \"gdn-mixture\"")
        }
        guard object["version"] == .integer(1) else {
            throw refuse("has version \(object["version"]?.text() ?? "none"), this program reads 1")
        }
        guard case .array(let items)? = object["sources"] else { throw refuse("has no list of sources") }
        let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
        try self.init(
            items.enumerated().map { index, item in
                guard let name = item["path"]?.string, !name.isEmpty, let weight = item["weight"]?.double else {
                    throw refuse("source \(index) has no path or no number as weight")
                }
                return Source(path: name.hasPrefix("/") ? name : folder + name, weight: weight)
            })
    }

    /// Writes the description, whole or not at all.
    /// - Throws: `FormatError` when it cannot be written.
    public func save(_ path: String) throws {
        let items = sources.map { source -> JSONValue in
            .object(["path": .string(source.path), "weight": .number(source.weight)])
        }
        let object: JSONObject = ["format": "gdn-mixture", "version": 1, "sources": .array(items)]
        try OutputFile.replace(path) {
            try $0.write(Array((JSONValue.object(object).text(indented: true) + "\n").utf8))
        }
    }
}
