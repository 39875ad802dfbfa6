/// How the next token is drawn from the model's distribution.
public struct SamplingOptions: Sendable, Equatable, Codable {
    /// Divides the logits; 0 takes the most likely token. At least 0.
    public var temperature: Float
    /// Keep only this many of the most likely tokens; 0 keeps all.
    public var topK: Int
    /// Keep the smallest set of most likely tokens whose probability reaches this; 1 keeps all. In (0, 1].
    public var topP: Float
    /// Drop tokens less likely than this share of the most likely one; 0 drops none. In [0, 1].
    public var minP: Float
    /// Divides the positive and multiplies the negative logits of tokens already seen; 1 changes nothing. Above 0.
    public var repetitionPenalty: Float
    /// Determines the draws.
    public var seed: UInt64

    /// Options with the usual defaults: the plain distribution.
    public init(
        temperature: Float = 1, topK: Int = 0, topP: Float = 1, minP: Float = 0, repetitionPenalty: Float = 1,
        seed: UInt64 = 0
    ) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
        self.minP = minP
        self.repetitionPenalty = repetitionPenalty
        self.seed = seed
    }

    /// Always the most likely token.
    public static let greedy = SamplingOptions(temperature: 0)

    /// Checks the ranges.
    /// - Throws: `InferenceError` naming the option and its range.
    public func validate() throws {
        guard temperature >= 0, temperature.isFinite else {
            throw InferenceError("temperature is \(temperature); it must be 0 or more")
        }
        guard topK >= 0 else { throw InferenceError("top-k is \(topK); it must be 0 (all) or more") }
        guard topP > 0, topP <= 1 else { throw InferenceError("top-p is \(topP); it must be above 0 and at most 1") }
        guard minP >= 0, minP <= 1 else { throw InferenceError("min-p is \(minP); it must be from 0 to 1") }
        guard repetitionPenalty > 0, repetitionPenalty.isFinite else {
            throw InferenceError("repetition penalty is \(repetitionPenalty); it must be above 0")
        }
    }
}

/// A request that cannot be served; says what would be right.
public struct InferenceError: Error, CustomStringConvertible, Equatable, Sendable {
    /// One sentence.
    public let message: String

    /// An error with its sentence.
    public init(_ message: String) {
        self.message = message
    }

    /// The sentence.
    public var description: String { message }
}
