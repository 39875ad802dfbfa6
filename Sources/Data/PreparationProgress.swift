/// How far a preparation has come.
public struct PreparationProgress: Sendable {
    /// Documents written, over all runs.
    public var documents: Int
    /// Bytes of text written, over all runs.
    public var textBytes: Int
    /// Tokens written, over all runs.
    public var tokens: Int
    /// Share of the input that is done, about.
    public var share: Double
    /// Bytes of text a second in this run.
    public var bytesPerSecond: Double
    /// Seconds to the end, about; nil when not known yet.
    public var remaining: Double?
}

/// Measures a preparation for its progress line.
struct PreparationMeter {
    private let unitBytes: [Int]
    private let allBytes: Int
    private let started = ContinuousClock.now
    private var shown: ContinuousClock.Instant?
    private var unit: Int
    /// Stored bytes of the units that are whole, and the text that came from them in this run.
    private var stored = 0
    private var storedHere = 0
    private var textHere = 0
    private var textOfUnit = 0
    private var doneBefore: Double
    private(set) var documents: Int
    private(set) var textBytes: Int
    private(set) var tokens: Int

    init(_ unitBytes: [Int], from journal: PreparationJournal) {
        self.unitBytes = unitBytes
        allBytes = unitBytes.reduce(0, +)
        unit = journal.unit
        stored = unitBytes[..<min(unit, unitBytes.count)].reduce(0, +)
        documents = journal.training.part.documents + journal.validation.part.documents
        textBytes = journal.training.part.textBytes + journal.validation.part.textBytes
        tokens = journal.training.part.tokens + journal.validation.part.tokens
        doneBefore = 0
        doneBefore = done
    }

    mutating func add(_ chunk: TokenChunk) {
        documents += chunk.training.lengths.count + chunk.heldOut.lengths.count
        tokens += chunk.training.tokenCount + chunk.heldOut.tokenCount
        textBytes += chunk.textBytes
        textHere += chunk.textBytes
        textOfUnit += chunk.textBytes
    }

    mutating func endUnit() {
        stored += unitBytes[unit]
        storedHere += unitBytes[unit]
        unit += 1
        textOfUnit = 0
    }

    /// Whether a tenth of a second has gone by since this was last so.
    var isDue: Bool {
        mutating get {
            let now = ContinuousClock.now
            if let shown, now - shown < .milliseconds(100) { return false }
            shown = now
            return true
        }
    }

    var progress: PreparationProgress {
        let seconds = max(1e-9, (ContinuousClock.now - started) / .seconds(1))
        let done = done
        let gained = done - doneBefore
        return PreparationProgress(
            documents: documents, textBytes: textBytes, tokens: tokens, share: done,
            bytesPerSecond: Double(textHere) / seconds,
            remaining: gained > 1e-6 && allBytes > 0 ? seconds * (1 - done) / gained : nil)
    }

    /// Share of the stored bytes that are done: of the unit at hand, as much as its text would take at the ratio of the
    /// units before it.
    private var done: Double {
        guard allBytes > 0, unit < unitBytes.count else { return unit < unitBytes.count ? 0 : 1 }
        let ratio = storedHere > 0 && textHere > textOfUnit ? Double(storedHere) / Double(textHere - textOfUnit) : 1
        return (Double(stored) + min(Double(unitBytes[unit]), Double(textOfUnit) * ratio)) / Double(allBytes)
    }
}
