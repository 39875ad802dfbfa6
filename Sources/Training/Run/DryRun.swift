/// `gdn train --dry-run`: what a run would be, without training.
import GDNModels

/// The plan of a run in words and numbers.
struct DryRun {
    let recipe: Recipe
    let configuration: ModelConfiguration
    /// Matrix-product operations a second of this machine; nil when not measured.
    let peak: Double?

    /// Resolved recipe, parameters by part, memory, steps and time.
    var text: String {
        get throws {
            let size = ModelSize(configuration)
            var lines = [try recipe.resolved(), "parameters"]
            for part in size.parts where part.count > 0 { lines.append(row(part.name, part.count)) }
            lines.append(row("all", size.parameters))
            let microBatch = recipe.data.batch * recipe.data.length
            let activations = size.activationBytes(tokens: microBatch, recompute: recipe.training.recompute)
            lines += [
                "memory",
                "  weights, gradients, moments  \(Readable.bytes(size.stateBytes))",
                "  activations, about           \(Readable.bytes(activations))"
                    + (recipe.training.recompute ? " (blocks recomputed)" : ""),
                "steps",
                "  \(recipe.totalSteps) steps of \(recipe.tokensPerStep) tokens, "
                    + "\(Readable.count(Double(recipe.totalSteps * recipe.tokensPerStep))) tokens in all",
                "  learning rate \(learningRates)",
                "time",
            ]
            if let note = recipe.warmUpNote { lines.insert("  " + note, at: lines.count - 1) }
            return (lines + [time]).joined(separator: "\n") + "\n"
        }
    }

    private func row(_ name: String, _ count: Int) -> String {
        let space = String(repeating: " ", count: max(1, 12 - name.count))
        return "  \(name)\(space)\(Readable.count(Double(count))) (\(count))"
    }

    private var learningRates: String {
        let schedule = Schedule(recipe)
        let total = recipe.totalSteps * recipe.tokensPerStep
        let rates = [recipe.tokensPerStep, schedule.warmupTokens, total / 2, total].map {
            Readable.scientific(schedule.learningRate(tokens: $0))
        }
        return
            "\(rates[0]) in the first step, \(rates[1]) after the warm-up, \(rates[2]) half-way, \(rates[3]) at the end"
    }

    private var time: String {
        let flops = configuration.trainingFLOPsPerToken
        let perToken = "  \(Readable.count(flops)) operations a token"
        guard let peak else { return "\(perToken); the rate of this device is not measured" }
        let tokens = Double(recipe.totalSteps * recipe.tokensPerStep)
        let best = flops * tokens / peak
        return "\(perToken), matrix products here run at \(Readable.count(peak)) a second: "
            + "\(Readable.duration(best)) if all ran at that rate, \(Readable.duration(best * 2)) at half of it"
    }
}
