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
        let sorted = try needsBackward([table]) ? form.sort(tokens, vocabulary: vocabulary) : nil
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
    /// Of the kernels: positions a piece of the backward takes, words that a block sorts.
    private static let (piece, blockWords) = (32, 256)

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
    /// many there are.
    struct SortedTokens {
        var positions, words, starts, counts: Tensor
    }

    func sort(_ tokens: Tensor, vocabulary: Int) throws -> SortedTokens {
        let count = tokens.count
        let (positions, words) = (try cuda.empty([count], .int32), try cuda.empty([count], .int32))
        let (starts, counts) = (try cuda.empty([vocabulary], .int32), try cuda.empty([vocabulary], .int32))
        // Tokens that a warp lists in shared memory, beside 33 KiB of counters.
        let stretch = cuda.description.sharedBytesPerBlock >= 162 << 10 ? 1024 : 256
        try kernels.launch(
            "embedding_backward_sort", blocks: (vocabulary + Self.blockWords - 1) / Self.blockWords, threads: 1024,
            shared: 32 * stretch * 4,
            [
                .tensor(positions), .tensor(words), .tensor(starts), .tensor(counts), .tensor(tokens), .int(count),
                .int(vocabulary), .int(stretch),
            ])
        return SortedTokens(positions: positions, words: words, starts: starts, counts: counts)
    }

    /// `buffer` [W, D] = (overwrite ? 0 : buffer) + sums of the rows of `upstream` by their words.
    func addGradient(to buffer: Tensor, _ upstream: Tensor, _ sorted: SortedTokens, overwrite: Bool) throws {
        let (vocabulary, width, count) = (buffer.shape[0], buffer.shape[1], sorted.positions.count)
        let pieces = (count + Self.piece - 1) / Self.piece
        let (partial, going) = (try cuda.empty([pieces, 2, width]), try cuda.empty([pieces], .int32))
        let channels = min(4, vector)
        try kernels.launch(
            "embedding_backward_pieces",
            blocks: (max(count, vocabulary) + Self.piece - 1) / Self.piece
                * ((width + 128 * channels - 1) / (128 * channels)), threads: 128,
            [
                .tensor(buffer), .tensor(partial), .tensor(going), .tensor(upstream), .tensor(sorted.positions),
                .tensor(sorted.words), .tensor(sorted.starts), .tensor(sorted.counts), .int(count),
                .int(vocabulary), .int(width), .int(overwrite ? 1 : 0),
            ])
        try kernels.launch(
            "embedding_backward_words",
            grid: ((width + 32 * channels - 1) / (32 * channels), min(16, pieces)), threads: 512,
            [
                .tensor(buffer), .tensor(partial), .tensor(going), .tensor(sorted.starts), .tensor(sorted.counts),
                .int(pieces),
                .int(width), .int(overwrite ? 1 : 0),
            ])
    }
}
