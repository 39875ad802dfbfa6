import GDNData
import GDNTensor
import GDNTokenizers

/// How fast text becomes token shards, beside the tokenizer alone on the same documents and the same number of threads.
///
/// What a preparation does beside tokenising (reading, parsing, checksums, writing) should cost little: the two take turns,
/// so that both see the same machine. The input is read once before, so that neither waits for the disk; the shards of
/// the run before are removed before the clock starts.
package struct PreparationBenchmark {
    /// What was measured.
    package struct Result: Sendable, Codable {
        /// Threads of both.
        package var threads: Int
        /// Bytes of text that a preparation read, all of it.
        package var textBytes: Int
        /// Bytes of text that the tokenizer alone was given, and the tokens it made of it.
        package var encodedBytes: Int
        package var encodedTokens: Int
        /// Seconds of the tokenizer alone, and of preparations from the first byte to the manifest.
        package var encoding: Timing
        package var preparation: Timing
        /// Processor seconds of the median run of each.
        package var encodingProcessorSeconds: Double
        package var preparationProcessorSeconds: Double

        /// Bytes of text a second, of the median run.
        package var encodedBytesPerSecond: Double { Double(encodedBytes) / encoding.median }
        /// Bytes of text a second, of the median run.
        package var preparedBytesPerSecond: Double { Double(textBytes) / preparation.median }
        /// The preparation's rate as a share of the tokenizer's own.
        package var share: Double { preparedBytesPerSecond / encodedBytesPerSecond }
        /// The same by processor time, which tells more on a machine that does something else meanwhile.
        package var processorShare: Double {
            Double(textBytes) / preparationProcessorSeconds / (Double(encodedBytes) / encodingProcessorSeconds)
        }
    }

    private struct Run {
        var seconds: Double
        var processorSeconds: Double

        init(_ body: () throws -> Void) rethrows {
            let (start, processor) = (ContinuousClock.now, Self.processorSeconds)
            try body()
            seconds = (ContinuousClock.now - start) / .seconds(1)
            processorSeconds = Self.processorSeconds - processor
        }

        /// Of all threads so far.
        private static var processorSeconds: Double {
            var time = timespec()
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
            return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
        }
    }

    /// Documents in groups as a preparation has them, and the arrays that threads put tokens into, to be used again.
    private final class Documents: @unchecked Sendable {
        private(set) var groups: [(text: [UInt8], documents: [Range<Int>])] = []
        private(set) var bytes = 0
        private let idle = Guarded<[[Int32]]>([])

        func append(_ document: UnsafeRawBufferPointer) {
            if groups.isEmpty || groups[groups.count - 1].text.count + document.count > 1 << 18 {
                groups.append(([], []))
            }
            let start = groups[groups.count - 1].text.count
            groups[groups.count - 1].text += document
            groups[groups.count - 1].documents.append(start..<start + document.count)
            bytes += document.count
        }

        /// Tokenises a group; the tokens are counted and dropped.
        func encode(_ group: Int, _ tokenizer: any Tokenizer) -> Int {
            var (tokens, count) = (idle.withLock { $0.popLast() } ?? [], 0)
            groups[group].text.withUnsafeBytes { text in
                for document in groups[group].documents {
                    tokens.removeAll(keepingCapacity: true)
                    tokenizer.encode(UnsafeRawBufferPointer(rebasing: text[document]), into: &tokens)
                    count += tokens.count
                }
            }
            idle.withLock { $0.append(tokens) }
            return count
        }
    }

    private struct Enough: Error {}

    /// Measures both, in turns.
    /// - Parameters:
    ///   - paths: the input, as for a preparation
    ///   - folder: where the preparations write; what an earlier one has left there is replaced
    ///   - threads: tokenising threads of both
    ///   - runs: how often each is measured
    ///   - heldBytes: text that is held in memory for the tokenizer alone; the first of the input. Of less than all, the two
    ///     rates are not of the same documents.
    /// - Throws: what a preparation throws.
    package static func run(
        _ paths: [String], tokenizer: any Tokenizer, settings: DataPreparation.Settings, into folder: String,
        threads: Int, runs: Int, heldBytes: Int
    ) throws -> Result {
        let documents = Documents()
        do {
            _ = try DocumentReader(settings.reading).read(paths) { document in
                documents.append(document.bytes)
                if documents.bytes >= heldBytes { throw Enough() }
            }
        } catch is Enough {}
        let preparation = try DataPreparation(tokenizer: tokenizer, settings: settings)
        var options = DataPreparation.Options()
        options.threads = threads
        options.restart = true
        var (encodings, preparations): ([Run], [Run]) = ([], [])
        var (tokens, textBytes) = (0, 0)
        // The first encoding fills the tokenizer's tables and does not count.
        for run in 0...max(1, runs) {
            let count = Guarded(0)
            let encoding = Run {
                concurrently(documents.groups.count, threads: threads) { group in
                    let tokens = documents.encode(group, tokenizer)
                    count.withLock { $0 += tokens }
                }
            }
            tokens = count.withLock { $0 }
            if run == 0 { continue }
            encodings.append(encoding)
            try preparation.clear(folder)
            preparations.append(
                try Run { textBytes = try preparation.run(paths, into: folder, options: options).report.textBytes })
        }
        encodings.sort { $0.seconds < $1.seconds }
        preparations.sort { $0.seconds < $1.seconds }
        return Result(
            threads: threads, textBytes: textBytes, encodedBytes: documents.bytes, encodedTokens: tokens,
            encoding: Timing(sorted: encodings.map(\.seconds)),
            preparation: Timing(sorted: preparations.map(\.seconds)),
            encodingProcessorSeconds: encodings[encodings.count / 2].processorSeconds,
            preparationProcessorSeconds: preparations[preparations.count / 2].processorSeconds)
    }
}
