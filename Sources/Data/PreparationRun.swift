import GDNFormats
import GDNTensor
import GDNTokenizers

/// One run of a preparation: takes the pipeline's chunks in order, writes them, and keeps the journal.
final class PreparationRun {
    private let preparation: DataPreparation
    private let plan: PreparationPlan
    private let options: DataPreparation.Options
    private let files: PreparationFiles
    private let pipeline: PreparationPipeline
    private let background: SerialWorker
    private let training: PartWriter
    private let heldOut: PartWriter
    private var journal: PreparationJournal
    private var meter: PreparationMeter
    private var lastJournal = ContinuousClock.now
    /// Whether a chunk is in one part and not in the other: no place for an entry in the journal.
    private var isBetween = false

    init(
        _ preparation: DataPreparation, _ plan: PreparationPlan, _ journal: PreparationJournal,
        _ files: PreparationFiles, _ options: DataPreparation.Options
    ) throws {
        self.preparation = preparation
        self.plan = plan
        self.journal = journal
        self.files = files
        self.options = options
        let (tokenizer, settings) = (preparation.tokenizer, preparation.settings)
        let background = try SerialWorker()
        self.background = background
        func writer(_ name: String, _ checkpoint: PartWriter.Checkpoint) throws -> PartWriter {
            try PartWriter(
                name, files.folder, tokenizer, limit: settings.shardTokens, from: checkpoint,
                later: { background.add($0) })
        }
        training = try writer("train", journal.training)
        heldOut = try writer("validation", journal.validation)
        let divides = plan.trainingUnits == plan.units.count && settings.validationShare > 0
        pipeline = PreparationPipeline(
            plan, reader: preparation.reader, encoder: DocumentEncoder(tokenizer: tokenizer, settings: settings),
            side: divides ? .divided : .training, unit: journal.unit, documents: journal.documents,
            chunkBytes: options.chunkBytes, threads: max(1, options.threads ?? processorCount()))
        meter = PreparationMeter(plan.units.map(\.bytes), from: journal)
    }

    /// Runs to the end.
    /// - Returns: the journal of the end.
    /// - Throws: `DataPreparation.Interrupted`, and what reading, tokenising and writing throw. What is written stays and
    ///   can be continued.
    func run() throws -> PreparationJournal {
        do {
            try pipeline.start()
            while journal.unit < plan.units.count { try unit() }
            pipeline.stop(waiting: true)
            isBetween = true
            try training.finish()
            try heldOut.finish()
            isBetween = false
            try note()
            try background.finish()
        } catch {
            pipeline.stop(waiting: false)
            // An entry may fail for the same reason; the one before it is as good.
            if !isBetween, (try? note()) != nil { try? background.finish() }
            throw error
        }
        return journal
    }

    private func unit() throws {
        var number = 0
        while true {
            if options.shouldStop?() == true { throw DataPreparation.Interrupted(tokens: meter.tokens) }
            try background.check()
            guard let event = try pipeline.next(number) else { continue }
            switch event {
            case .chunk(let chunk):
                isBetween = true
                try training.append(chunk.training)
                try heldOut.append(chunk.heldOut)
                journal.documents += chunk.documents
                isBetween = false
                number += 1
                meter.add(chunk)
                // From here on the chunk is another's.
                pipeline.done(chunk)
                if let progress = options.progress, meter.isDue { progress(meter.progress) }
                if isJournalDue { try note() }
            case .end(let result):
                return try end(result)
            }
        }
    }

    private func end(_ result: DocumentReader.UnitResult) throws {
        if let part = result.checksum { journal.file = journal.file.joined(with: part) }
        var source: DocumentReader.Source?
        if plan.isLast(journal.unit) {
            source = .init(path: plan.units[journal.unit].path, journal.file)
            journal.file = RunChecksum()
        }
        if journal.unit < plan.trainingUnits {
            journal.report.merge(result.report)
            if let source { journal.sources.append(source) }
            try refuseHopeless(journal.report)
        } else {
            journal.validationReport.merge(result.report)
            if let source { journal.validationSources.append(source) }
        }
        journal.unit += 1
        journal.documents = 0
        meter.endUnit()
    }

    /// Input that is mostly unusable is not read to its end: the field's name is wrong, or these are other files.
    private func refuseHopeless(_ report: DataReport) throws {
        let limit = preparation.settings.reading.malformedLimit
        guard report.records >= 10_000, report.malformedShare > max(0.5, limit) else { return }
        var report = report
        try preparation.reader.resolveLines(of: &report)
        try preparation.reader.check(report, Array(Set(report.findings.map(\.file))).sorted())
    }

    private var isJournalDue: Bool {
        (ContinuousClock.now - lastJournal) / .seconds(1) >= options.journalInterval && background.isIdle
    }

    /// Writes the journal in the background, when everything before this place is durable.
    private func note() throws {
        lastJournal = ContinuousClock.now
        let first = try training.checkpoint()
        let second = try heldOut.checkpoint()
        journal.training = first.0
        journal.validation = second.0
        let (journal, files) = (journal, files)
        background.add {
            try first.durable()
            try second.durable()
            try files.save(journal)
            for shard in journal.training.part.shards + journal.validation.part.shards {
                TokenShardWriter.discard("\(files.folder)/\(shard.file)")
            }
        }
    }
}
