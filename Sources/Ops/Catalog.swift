/// Every operation's test cases, in reading order.
package enum OperationCatalog {
    /// All cases.
    package static let cases: [OperationCase] = [
        EmbeddingCases.all,
        LinearCases.all,
        RMSNormCases.all,
        GatedRMSNormCases.all,
        L2NormCases.all,
        ActivationCases.all,
        ShortConvolutionCases.all,
        ShortConvolutionCases.several,
        SwiGLUCases.all,
        CrossEntropyCases.all,
        AdamWCases.all,
        GradientClippingCases.all,
        GatesCases.all,
        GatedDeltaRuleCases.all,
        DecodingCases.all,
    ].flatMap { $0 }

    /// Names of all operations, in order, each once.
    package static var operations: [String] {
        var seen: Set<String> = []
        return cases.map(\.operation).filter { seen.insert($0).inserted }
    }
}
