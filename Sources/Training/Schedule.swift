/// The learning rate as a function of the tokens seen.
import GDNTensor

/// Warm-up from zero, then a cosine, a straight line or a constant.
///
///     n < w:      r(n) = r_max · n / w
///     otherwise:  p = min(1, (n − w) / (total − w)),   r(n) = r_min + (r_max − r_min) · f(p)
///     cosine f(p) = (1 + cos πp) / 2      linear f(p) = 1 − p      constant f(p) = 1
///
/// `n` counts the tokens up to and including the step that uses the rate, so the first step does not stand still.
/// It depends on nothing else: a resumed run needs only its token count.
public struct Schedule: Sendable, Equatable {
    /// Shape after the warm-up.
    public var kind: Recipe.ScheduleKind
    /// Highest rate.
    public var peak: Double
    /// Tokens of the warm-up, w.
    public var warmupTokens: Int
    /// Tokens at which the minimum is reached.
    public var totalTokens: Int
    /// r_min / r_max.
    public var minimumRatio: Double

    /// A schedule from its numbers.
    public init(kind: Recipe.ScheduleKind, peak: Double, warmupTokens: Int, totalTokens: Int, minimumRatio: Double) {
        self.kind = kind
        self.peak = peak
        self.warmupTokens = warmupTokens
        self.totalTokens = totalTokens
        self.minimumRatio = minimumRatio
    }

    /// The schedule of a recipe.
    public init(_ recipe: Recipe) {
        self.init(
            kind: recipe.schedule.kind, peak: recipe.optimizer.learningRate,
            warmupTokens: recipe.schedule.warmupTokens,
            totalTokens: recipe.schedule.totalTokens ?? recipe.totalSteps * recipe.tokensPerStep,
            minimumRatio: recipe.schedule.minimumRatio)
    }

    /// The rate of the step that ends at `tokens`.
    public func learningRate(tokens: Int) -> Double {
        if tokens < warmupTokens { return peak * Double(tokens) / Double(warmupTokens) }
        let rest = Double(max(1, totalTokens - warmupTokens))
        let progress = min(1, Double(tokens - warmupTokens) / rest)
        let minimum = peak * minimumRatio
        switch kind {
        case .constant: return peak
        case .linear: return minimum + (peak - minimum) * (1 - progress)
        case .cosine: return minimum + (peak - minimum) * (1 + cos(.pi * progress)) / 2
        }
    }
}
