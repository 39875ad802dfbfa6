/// `y[t, :] = table[token_t, :]`, several times. Inputs tokens [T], table [W, D].
struct EmbeddingReference: OperationReference {
    var times = 1

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let (tokens, table) = (inputs[0], inputs[1])
        var y = ReferenceArray<S>([tokens.shape[0], table.shape[1]])
        for t in 0..<tokens.shape[0] {
            for d in 0..<table.shape[1] { y[t, d] = table[Int(tokens[t]), d] }
        }
        return Array(repeating: y, count: times)
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let (tokens, table) = (inputs[0], inputs[1])
        var dTable = ReferenceArray<S>(table.shape)
        for dy in upstream {
            for t in 0..<tokens.shape[0] {
                for d in 0..<table.shape[1] { dTable[Int(tokens[t]), d] += dy[t, d] }
            }
        }
        return [nil, dTable]
    }
}
