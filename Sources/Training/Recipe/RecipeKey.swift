/// One key of a recipe: its name, type, rule and meaning, and how it is set and read.

/// A key of the recipe. `Recipe.keys` lists them all; parsing, `gdn config show` and the documentation's table read that list.
public struct RecipeKey: Sendable {
    /// Section and name, e.g. `optimizer.lr`.
    public let path: String
    /// Type and range in words.
    public let type: String
    /// What it does, with unit.
    public let help: String
    let set: @Sendable (inout Recipe, RecipeValue) -> Bool
    let get: @Sendable (Recipe) -> RecipeValue

    /// A key stored in a field.
    init<Value: RecipeConvertible>(
        _ path: String, _ field: WritableKeyPath<Recipe, Value> & Sendable, _ help: String, _ rule: Rule<Value>? = nil
    ) {
        self.path = path
        self.help = help
        type = Value.recipeType + (rule.map { " \($0.words)" } ?? "")
        set = { recipe, value in
            guard let value = Value(recipe: value), rule?.holds(value) ?? true else { return false }
            recipe[keyPath: field] = value
            return true
        }
        get = { $0[keyPath: field].recipe }
    }

    /// A key of the Hugging Face configuration, kept as it is written; the model's configuration checks it.
    init(model name: String, _ type: String, _ help: String) {
        path = "model.\(name)"
        self.type = type
        self.help = help
        set = { recipe, value in
            recipe.model.keys[name] = value
            return true
        }
        get = { $0.model.keys[name] ?? .null }
    }

    /// Section part of the path.
    public var section: String { String(path.prefix { $0 != "." }) }
    /// Name part of the path.
    public var name: String { String(path.drop { $0 != "." }.dropFirst()) }
    /// Whether it is a key of the model's configuration, without a default of its own.
    var isModelKey: Bool { section == "model" && !["preset", "config", "init"].contains(name) }

    /// The default as a recipe writes it.
    public var defaultValue: String { isModelKey ? "from the preset" : get(Recipe()).yaml }
    /// What stands behind the key in a commented recipe.
    public var comment: String { "\(type); default \(defaultValue); \(help)" }

    /// A range that values must lie in.
    struct Rule<Value: Sendable>: Sendable {
        let words: String
        let holds: @Sendable (Value) -> Bool
    }
}

extension RecipeKey.Rule where Value == Int {
    static var positive: Self { Self(words: "≥ 1") { $0 >= 1 } }
    static var natural: Self { Self(words: "≥ 0") { $0 >= 0 } }
}

extension RecipeKey.Rule where Value == Int? {
    static var token: Self { Self(words: "≥ 0") { $0.map { $0 >= 0 && $0 <= Int(Int32.max) } ?? true } }
    static var positive: Self { Self(words: "≥ 1") { $0.map { $0 >= 1 } ?? true } }
}

extension RecipeKey.Rule where Value == Double {
    static var positive: Self { Self(words: "> 0") { $0 > 0 } }
    static var natural: Self { Self(words: "≥ 0") { $0 >= 0 } }
    static var share: Self { Self(words: "in [0, 1]") { (0...1).contains($0) } }
    static var properShare: Self { Self(words: "in [0, 1)") { (0..<1).contains($0) } }
}

extension RecipeKey.Rule where Value == Double? {
    static var positive: Self { Self(words: "> 0") { $0.map { $0 > 0 } ?? true } }
}

extension RecipeKey.Rule where Value == [Int] {
    static var positive: Self { Self(words: "≥ 1") { $0.allSatisfy { $0 >= 1 } } }
}

extension RecipeKey.Rule where Value == [Double] {
    static var positive: Self { Self(words: "> 0") { $0.allSatisfy { $0 > 0 } } }
    static var twoShares: Self {
        Self(words: "(two, in [0, 1))") { $0.count == 2 && $0.allSatisfy { (0..<1).contains($0) } }
    }
}

extension RecipeKey.Rule where Value == String {
    static var oneName: Self {
        Self(words: "without /") { !$0.isEmpty && !$0.contains("/") && $0 != "." && $0 != ".." }
    }
    static var device: Self {
        Self(words: "cpu | cuda | cuda:N") { text in
            let index = text.hasPrefix("cuda:") ? Int(text.dropFirst(5)) : 0
            return text == "cpu" || text == "cuda" || (text.hasPrefix("cuda:") && (index ?? -1) >= 0)
        }
    }
}
