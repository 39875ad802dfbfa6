/// Reading a recipe from YAML and the command line, and printing it in full.
import Foundation
import Yams

/// A key set on the command line: `--optimizer.lr 1e-3`.
public struct RecipeOverride: Sendable, Equatable {
    /// Section and name.
    public let path: String
    /// The value as written.
    public let text: String

    /// An override of a key.
    public init(_ path: String, _ text: String) {
        self.path = path
        self.text = text
    }

    /// Reads `--section.key value` and `--section.key=value` pairs.
    /// - Throws: `RecipeError` for a word that is no such pair.
    public static func parse(_ arguments: [String]) throws -> [RecipeOverride] {
        var overrides: [RecipeOverride] = []
        var rest = arguments[...]
        while let word = rest.popFirst() {
            guard word.hasPrefix("--"), word.contains(".") else {
                throw RecipeError(
                    "unknown argument; recipe keys are given as --section.key value", location: "command line: \(word)")
            }
            let body = word.dropFirst(2)
            if let equals = body.firstIndex(of: "=") {
                overrides.append(
                    RecipeOverride(String(body[..<equals]), String(body[body.index(after: equals)...])))
            } else if let value = rest.popFirst() {
                overrides.append(RecipeOverride(String(body), value))
            } else {
                throw RecipeError("needs a value", location: "command line: \(word)")
            }
        }
        return overrides
    }
}

extension Recipe {
    /// Reads a recipe file, then applies the overrides in order.
    /// - Throws: `RecipeError` naming file, line and key.
    public static func load(_ path: String, overrides: [RecipeOverride] = []) throws -> Recipe {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw RecipeError("cannot be read; give the path of a recipe such as Recipes/tiny-cpu.yaml", location: path)
        }
        guard let text = String(data: data, encoding: .utf8) else {
            throw RecipeError("is not UTF-8 text; a recipe is a YAML file", location: path)
        }
        return try parse(text, file: path, overrides: overrides)
    }

    /// Reads a recipe from text; `file` names it in errors.
    /// - Throws: `RecipeError` naming file, line and key.
    public static func parse(_ text: String, file: String = "recipe", overrides: [RecipeOverride] = []) throws
        -> Recipe
    {
        var recipe = Recipe()
        for (section, entries) in try sections(text, file: file) {
            for (key, value) in entries {
                let location = "\(file):\(key.mark?.line ?? section.mark?.line ?? 1)"
                let plain = value.scalar.flatMap { $0.style == .plain ? $0.string : nil }
                try recipe.set(
                    "\(section.string ?? "").\(key.string ?? "")", RecipeValue(value), text: plain, location: location)
            }
        }
        for override in overrides {
            let location = "command line: --\(override.path)"
            let node: Node?
            do { node = try Yams.compose(yaml: override.text) } catch {
                throw RecipeError("value \(override.text) is not YAML", key: override.path, location: location)
            }
            try recipe.set(
                override.path, node.map { RecipeValue($0) } ?? .null, text: override.text, location: location)
        }
        return recipe
    }

    /// Sets one key. `text` is the value as it was written, for keys that take text which looks like a number.
    /// - Throws: `RecipeError` when the key is unknown or the value not of its type.
    mutating func set(_ path: String, _ value: RecipeValue, text: String? = nil, location: String) throws {
        guard let key = Recipe.keys.first(where: { $0.path == path }) else {
            let hint = Recipe.suggestion(path).map { "; did you mean \($0)?" } ?? "; gdn config keys lists them all"
            throw RecipeError("unknown key\(hint)", key: path, location: location)
        }
        if key.set(&self, value) { return }
        if let text, value != .null, key.set(&self, .string(text)) { return }
        if let text, text.contains(","), !text.hasPrefix("["),
            key.set(&self, .list(text.split(separator: ",").map { RecipeValue(plain: String($0)) }))
        {
            return
        }
        throw RecipeError("expected \(key.type), found \(text ?? value.yaml)", key: path, location: location)
    }

    /// The key that was probably meant: the same name in another section, or the nearest spelling.
    static func suggestion(_ path: String) -> String? {
        let name = path.split(separator: ".").last.map(String.init) ?? path
        if let moved = keys.first(where: { $0.name == name }) { return moved.path }
        return nearest(path, among: keys.map(\.path))
    }

    /// The complete recipe, defaults included, as YAML that `parse` reads back.
    /// - Parameters:
    ///   - modelKeys: the complete model configuration, printed instead of the keys the recipe gave
    ///   - comments: whether each key is followed by its type and meaning
    public func resolvedYAML(modelKeys: [String: RecipeValue]? = nil, comments: Bool = false) -> String {
        var full = self
        if let modelKeys {
            full.model.keys = modelKeys.filter { name, _ in Recipe.keys.contains { $0.path == "model.\(name)" } }
        }
        var lines: [String] = []
        var section = ""
        for key in Recipe.keys {
            if key.isModelKey && full.model.keys[key.name] == nil { continue }
            if key.section != section {
                section = key.section
                lines.append("\(section):")
            }
            let line = "  \(key.name): \(key.get(full).yaml)"
            lines.append(comments ? "\(line)  # \(key.comment)" : line)
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Every key in a Markdown table, for the documentation.
    public static var keyTable: String {
        var lines = ["| key | type | default | meaning |", "|---|---|---|---|"]
        for key in keys {
            let type = key.type.replacing("|", with: "\\|")
            let value = key.isModelKey ? key.defaultValue : "`\(key.defaultValue)`"
            lines.append("| `\(key.path)` | \(type) | \(value) | \(key.help) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The file's sections with their keys in order.
    private static func sections(_ text: String, file: String) throws -> [(Node, [(Node, Node)])] {
        let root: Node?
        do { root = try Yams.compose(yaml: text) } catch let error as YamlError {
            throw RecipeError("not YAML: \(error)".split(separator: "\n").joined(separator: " "), location: file)
        }
        guard let root else { return [] }
        guard case .mapping(let mapping) = root else {
            throw RecipeError("expected sections such as `model:`, found something else", location: "\(file):1")
        }
        let known = Set(keys.map(\.section))
        return try mapping.map { section, body in
            let location = "\(file):\(section.mark?.line ?? 1)"
            let name = section.string ?? ""
            guard known.contains(name) else {
                let hint = nearest(name, among: known.sorted()).map { "; did you mean \($0)?" } ?? ""
                throw RecipeError("unknown section\(hint)", key: name, location: location)
            }
            if case .mapping(let entries) = body { return (section, entries.map { ($0.key, $0.value) }) }
            guard RecipeValue(body) == .null else {
                throw RecipeError(
                    "expected keys below this section, found \(RecipeValue(body).yaml)", key: name,
                    location: location)
            }
            return (section, [])
        }
    }
}
