/// Decides row by row which source of a mixture comes next, so that every beginning of the sequence has the wanted
/// shares as nearly as whole rows allow.
///
/// The chairman assignment of Tijdeman (Discrete Mathematics 32, 1980): after n rows a source of share w has given
/// between n·w − 1 and n·w + 1 of them, for any number of sources. In whole numbers, so nothing drifts:
///
/// 1. σ_i = n·w_i − c_i, the rows that source i is owed when row n is chosen and c_i rows came from it
/// 2. of the sources with σ_i ≥ 1 / (2k − 2) the one whose σ would first reach 1 − 1 / (2k − 2) takes the row,
///    the first of equal ones
package struct MixtureSchedule: Sendable {
    /// Shares as whole numbers without a common divisor.
    package let weights: [Int]
    private let total: Int
    /// total · (n·w_i − c_i) after n rows.
    private var owed: [Int]

    /// A schedule for weights, which need not add up to 1.
    /// - Throws: `DataError` for a weight that is not a positive number or smaller than a millionth of the largest.
    package init(weights: [Double]) throws {
        let largest = weights.max() ?? 0
        guard !weights.isEmpty, weights.count <= 1000,
            weights.allSatisfy({ $0.isFinite && $0 > 0 && $0 >= largest * 1e-6 })
        else {
            throw DataError(
                "mixture", "weights \(weights)",
                advice: "use 1 to 1000 positive numbers, each at least a millionth of the largest")
        }
        // Decimal fractions such as 0.7 become exact whole numbers: nine digits of the largest are kept.
        var scale = 1e9
        while largest * scale > 1e12 { scale /= 10 }
        while largest * scale < 1e9 { scale *= 10 }
        let whole = weights.map { Int(($0 * scale).rounded()) }
        let divisor = whole.reduce(0, Self.greatestCommonDivisor)
        self.weights = whole.map { $0 / divisor }
        total = self.weights.reduce(0, +)
        owed = weights.map { _ in 0 }
    }

    /// The source of the next row.
    package mutating func next() -> Int {
        guard weights.count > 1 else { return 0 }
        let pairs = 2 * weights.count - 2
        var best: Int?
        var lead = (numerator: 0 as Int128, weight: 1 as Int128)
        for index in weights.indices {
            owed[index] += weights[index]
            guard owed[index] * pairs >= total else { continue }
            // (1 − 1/(2k − 2) − σ) / w, times total · (2k − 2): fractions are compared crosswise.
            let numerator = Int128(total * (pairs - 1)) - Int128(owed[index]) * Int128(pairs)
            let weight = Int128(weights[index])
            if best == nil || numerator * lead.weight < lead.numerator * weight {
                best = index
                lead = (numerator, weight)
            }
        }
        // The σ of a row add up to 1, so one of k sources has at least 1 / k, which is no less than 1 / (2k − 2).
        let chosen = best ?? 0
        owed[chosen] -= total
        return chosen
    }

    /// Goes to where sources have given these numbers of rows.
    /// - Throws: `DataError` when the schedule never comes to such numbers.
    mutating func restore(rows: [Int]) throws {
        let all = Int128(rows.reduce(0, +))
        let owed = zip(weights, rows).map { Int128($0) * all - Int128($1) * Int128(total) }
        guard rows.count == weights.count, owed.allSatisfy({ $0.magnitude <= Int128(total).magnitude }) else {
            throw DataError(
                "loader state", "\(rows) rows of the sources do not fit the weights \(weights)",
                advice: "the checkpoint is damaged: resume from the one before")
        }
        self.owed = owed.map { Int($0) }
    }

    private static func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int {
        var (a, b) = (a, b)
        while b != 0 { (a, b) = (b, a % b) }
        return a
    }
}
