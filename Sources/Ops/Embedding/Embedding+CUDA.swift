import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("embedding", "Embedding/kernel.cu")

extension Tape {
    /// Rows in the backend's compute type (a bfloat16 table stays bfloat16). A token outside of the table gives NaN: the
    /// tokens are on the device and are not read back to check them. Saves the order of the tokens by words.
    func embeddingCUDA(_ cuda: CUDABackend, _ tokens: Tensor, _ table: Variable) throws -> Variable {
        let (vocabulary, width) = (table.shape[0], table.shape[1])
        let values = table.value
        let dtype = values.dtype == .bfloat16 ? .bfloat16 : cuda.computeType
        let output = try cuda.empty(Shape(tokens.shape.dims + [width]), dtype)
        let form = try EmbeddingCUDA(cuda, dtype, values, vector: vectorLength([output, values], rows: width))
        try form.forward(output, tokens, values)
        let sorted = try needsBackward([table]) ? form.sort(tokens, table.shape) : nil
        let backend = backend
        return record([table], [output]) { gradients in
            guard let upstream = gradients[0], let sorted else { return [nil] }
            func addGradient(to buffer: Tensor, overwrite: Bool) throws {
                let form = try EmbeddingCUDA(
                    cuda, dtype, values, vector: vectorLength([upstream, buffer], rows: width))
                try form.addGradient(to: buffer, upstream, sorted, overwrite: overwrite)
            }
            if let parameter = table as? Parameter {
                try parameter.accumulate(on: backend, addGradient)
                return [nil]
            }
            let dTable = try cuda.empty([vocabulary, width])
            try addGradient(to: dTable, overwrite: true)
            return [dTable]
        }[0]
    }
}

/// Kernels for one type of table and output.
private struct EmbeddingCUDA {
    let cuda: CUDABackend
    private let kernels: CUDAKernels
    private let vector: Int
    /// Of the kernels: positions a piece of the backward takes, threads that add it up, words that a block sorts.
    private static let (piece, pieceThreads, blockWords) = (32, 128, 256)

    init(_ cuda: CUDABackend, _ dtype: DType, _ table: Tensor, vector: Int) throws {
        self.cuda = cuda
        self.vector = vector
        kernels = try CUDAKernels(
            cuda, source, dtype,
            [("TABLE", table.dtype == .bfloat16 ? "bfloat16" : "float"), ("VECTOR", "\(vector)")])
    }

    func forward(_ output: Tensor, _ tokens: Tensor, _ table: Tensor) throws {
        try kernels.launch(
            "embedding_forward", blocks: (tokens.count + 7) / 8, threads: 256,
            [
                .tensor(output), .tensor(tokens), .tensor(table), .int(tokens.count), .int(table.shape[0]),
                .int(table.shape[1]),
            ])
    }

    /// Positions of the tokens by word, those of a word in the order of the text; their words; where each word's begin, and how
    /// many there are; how many of a piece's rows the piece before adds up; counters, zero before and after a backward.
    struct SortedTokens {
        var positions, words, starts, counts, edges, arrivals: Tensor
    }

    /// For the gradient of a table of this shape.
    func sort(_ tokens: Tensor, _ table: Shape) throws -> SortedTokens {
        let (count, vocabulary) = (tokens.count, table[0])
        let pieces = (count + Self.piece - 1) / Self.piece
        func integers(_ count: Int) throws -> Tensor { try cuda.empty([count], .int32) }
        // The backward has as few channels a block as this if its tensors do not allow vectors.
        let sorted = SortedTokens(
            positions: try integers(count), words: try integers(count), starts: try integers(vocabulary),
            counts: try integers(vocabulary), edges: try integers(pieces),
            arrivals: try integers(3 * pieces * slices(table[1], channels: 1)))
        // Tokens that a warp lists in shared memory, beside 33 KiB of counters.
        let stretch = cuda.description.sharedBytesPerBlock >= 162 << 10 ? 1024 : 256
        try kernels.launch(
            "embedding_backward_sort", blocks: (vocabulary + Self.blockWords - 1) / Self.blockWords, threads: 1024,
            shared: 32 * stretch * 4,
            [
                .tensor(sorted.positions), .tensor(sorted.words), .tensor(sorted.edges), .tensor(sorted.starts),
                .tensor(sorted.counts), .tensor(sorted.arrivals), .tensor(tokens), .int(count), .int(vocabulary),
                .int(sorted.arrivals.count), .int(stretch),
            ])
        return sorted
    }

    /// `buffer` [W, D] = (overwrite ? 0 : buffer) + sums of the rows of `upstream` by their words.
    func addGradient(to buffer: Tensor, _ upstream: Tensor, _ sorted: SortedTokens, overwrite: Bool) throws {
        let (vocabulary, width, count) = (buffer.shape[0], buffer.shape[1], sorted.positions.count)
        let partial = try cuda.empty([sorted.edges.count, 2, width])
        // Words that do not occur get zeros, from as many pieces of the vocabulary.
        let pieces = ((overwrite ? max(count, vocabulary) : count) + Self.piece - 1) / Self.piece
        try kernels.launch(
            overwrite ? "embedding_backward_write" : "embedding_backward_add",
            blocks: pieces * slices(width, channels: min(4, vector)), threads: Self.pieceThreads,
            [
                .tensor(buffer), .tensor(partial), .tensor(sorted.arrivals), .tensor(upstream),
                .tensor(sorted.positions), .tensor(sorted.words), .tensor(sorted.edges), .tensor(sorted.starts),
                .tensor(sorted.counts), .int(count), .int(vocabulary), .int(width),
            ])
    }

    /// Blocks that take a row.
    private func slices(_ width: Int, channels: Int) -> Int {
        (width + Self.pieceThreads * channels - 1) / (Self.pieceThreads * channels)
    }
}
