import GDNAutograd
import GDNCPUBackend
import GDNModels
import Testing

@Suite struct PresetTests {
    /// Parameters of the published models, in billions as the tables print them.
    @Test(arguments: [("gdn-0.4b", 0.517), ("gdn-1.3b", 1.309), ("fla-gdn-1.3b", 1.387), ("fla-gdn-340m", 0.512)])
    func parameterCounts(_ name: String, _ billions: Double) throws {
        let configuration = try #require(ModelConfiguration.preset(name))
        #expect((Double(configuration.parameterCount) / 1e6).rounded() / 1e3 == billions)
    }

    /// Counting from the configuration alone equals counting a model's tensors, whatever the switches.
    @Test(arguments: ModelFormsTests.variants.map(\.name))
    func countsWithoutBuilding(_ name: String) throws {
        var configuration = try #require(ModelConfiguration.preset("tiny"))
        try #require(ModelFormsTests.variants.first { $0.name == name }).change(&configuration)
        let model = try LanguageModel(configuration, backend: .cpu(CPUBackend(threads: 1)))
        #expect(model.parameterCount == configuration.parameterCount)
    }

    /// Two operations for each element of each matrix, three times over, and the rule's own count.
    @Test(arguments: ModelFormsTests.variants.map(\.name))
    func trainingCostFollowsTheMatrices(_ name: String) throws {
        var configuration = try #require(ModelConfiguration.preset("tiny"))
        try #require(ModelFormsTests.variants.first { $0.name == name }).change(&configuration)
        let model = try LanguageModel(configuration, backend: .cpu(CPUBackend(threads: 1)))
        let matrices = model.parameters.filter { parameter in
            let isTable = parameter.name == "model.embeddings.weight" && !configuration.tieWordEmbeddings
            return parameter.shape.rank == 2 && !isTable
        }
        let elements = Double(matrices.reduce(0) { $0 + $1.value.count })
        let layers = Double(configuration.layers)
        #expect(configuration.trainingFLOPsPerToken == 6 * elements + layers * configuration.ruleTrainingFLOPsPerToken)
        #expect(configuration.forwardFLOPsPerToken == 2 * elements + layers * configuration.ruleFLOPsPerToken)
    }

    @Test func refusesShapesThatDoNotFit() throws {
        var configuration = ModelConfiguration()
        configuration.valueHeads = 7
        #expect(
            throws: ConfigurationError("num_v_heads is 7; it must be a multiple of num_heads (6)"),
            performing: configuration.validate)
        configuration = ModelConfiguration()
        configuration.expandValue = 1.3
        #expect(throws: ConfigurationError.self, performing: configuration.validate)
    }
}
