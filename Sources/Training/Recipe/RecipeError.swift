/// What can be wrong with a recipe, and the nearest right key.

/// A recipe that cannot be used: says where, which key, what was expected and what came.
public struct RecipeError: Error, CustomStringConvertible, Equatable, Sendable {
    /// File and line, or the option of the command line; nil when the recipe as a whole is meant.
    public let location: String?
    /// The key, e.g. `optimizer.lr`; nil when no key is meant.
    public let key: String?
    /// What is wrong and what to do.
    public let message: String

    /// An error at a place.
    public init(_ message: String, key: String? = nil, location: String? = nil) {
        self.location = location
        self.key = key
        self.message = message
    }

    /// `recipe.yaml:12: optimizer.lr: message`
    public var description: String {
        [location, key, message].compactMap { $0 }.joined(separator: ": ")
    }
}

/// Number of single-character insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
func editDistance(_ a: String, _ b: String) -> Int {
    let (a, b) = (Array(a), Array(b))
    var before: [Int] = []
    var last = Array(0...b.count)
    for i in 0..<a.count {
        var row = [i + 1]
        for j in 0..<b.count {
            var best = min(last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, before[j - 1] + 1) }
            row.append(best)
        }
        (before, last) = (last, row)
    }
    return last[b.count]
}

/// The known name nearest to a misspelt one; nil when none is near enough to be meant.
func nearest(_ name: String, among known: [String]) -> String? {
    let ranked = known.map { ($0, editDistance(name.lowercased(), $0.lowercased())) }
    guard let best = ranked.min(by: { $0.1 < $1.1 }), best.1 <= max(2, name.count / 2) else { return nil }
    return best.0
}
