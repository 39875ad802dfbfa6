import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct DecodingTests {
    let cpu = CPUBackend(poison: true)

    /// Every unit belongs to a round of some block, and the shared memory is what a block can have.
    @Test(arguments: [1, 2, 3, 5, 8], [64, 2048, 5632])
    func plansCoverAllUnits(batch: Int, inputs: Int) throws {
        for units in [1, 131, 132, 133, 256, 1154, 4000] {
            let plan = try #require(
                StreamedProductPlan(
                    inputs: inputs, units: units, batch: batch, dtype: .bfloat16, multiprocessors: 132,
                    sharedLimit: 227 << 10))
            let unitsARound = try #require(plan.defines.first { $0.name == "UNITS" }.flatMap { Int($0.value) })
            let ring = try #require(plan.defines.first { $0.name == "RING_PORTIONS" }.flatMap { Int($0.value) })
            #expect(plan.blocks <= 132 && plan.blocks <= units)
            #expect(ring >= 2)
            // At most two outputs a thread, which `project.cu` keeps in registers.
            #expect(unitsARound * 8 * batch <= 2 * StreamedProductPlan.threads)
            #expect(plan.shared + 1024 <= 227 << 10)
        }
    }

    /// Blocks and slices cover the weights, warps the slice, and the shared memory is what a block can have.
    @Test(arguments: [5, 16, 33, 64], [64, 264, 2048, 5632])
    func widePlansCoverAllWeights(batch: Int, inputs: Int) throws {
        for (rows, mostSlices, sharedLimit) in [(2048, 8, 227 << 10), (9232, 1, 227 << 10), (16, 8, 163 << 10)] {
            let plan = try #require(
                WideProductPlan(
                    inputs: inputs, rows: rows, batch: batch, mostSlices: mostSlices, multiprocessors: 132,
                    sharedLimit: sharedLimit))
            func value(_ name: String) throws -> Int {
                try #require(plan.defines.first { $0.name == name }.flatMap { Int($0.value) })
            }
            let (slice, stages) = try (value("SLICE"), value("STAGES"))
            let (blockRows, tiles) = try (value("WEIGHT_ROWS"), value("TILES"))
            #expect(slice % 32 == 0 && slice * plan.slices >= inputs && slice * (plan.slices - 1) < inputs)
            #expect(plan.blocks % plan.slices == 0 && plan.blocks / plan.slices * blockRows >= rows)
            #expect(plan.slices <= mostSlices && tiles * 16 >= batch && blockRows % 8 == 0)
            #expect(1 <= stages && stages <= (slice + 255) / 256)
            #expect(plan.shared + 1024 <= sharedLimit)
            #expect(plan.shared >= stages * 256 * 16 * (blockRows / 8 + 2 * tiles))
        }
    }

    /// Every multiprocessor has one block where the 1.3 B model decodes 64 sequences.
    @Test(arguments: [(2048, 9232, 1), (3072, 2048, 8), (2048, 11_264, 1), (5632, 2048, 8)])
    func widePlansFillTheDevice(inputs: Int, rows: Int, mostSlices: Int) throws {
        let plan = try #require(
            WideProductPlan(
                inputs: inputs, rows: rows, batch: 64, mostSlices: mostSlices, multiprocessors: 132,
                sharedLimit: 227 << 10))
        #expect(120...132 ~= plan.blocks)
    }

    /// Two blocks of neighbouring kernels fit on a multiprocessor where the 1.3 B model decodes one sequence.
    @Test(arguments: [2048, 3072, 5632])
    func neighboursFitBesideEachOther(inputs: Int) throws {
        let plan = try #require(
            StreamedProductPlan(
                inputs: inputs, units: 1408, batch: 1, dtype: .bfloat16, multiprocessors: 132, sharedLimit: 227 << 10))
        #expect(2 * (plan.shared + 1024 + 128) <= 228 << 10)
    }

    /// x of many wide rows leaves no room: the caller takes the library's products.
    @Test func noPlanWithoutRoom() {
        #expect(
            StreamedProductPlan(
                inputs: 16_384, units: 256, batch: 8, dtype: .float32, multiprocessors: 132, sharedLimit: 227 << 10)
                == nil)
    }

    /// The states handed in stay as they are; decoding in place is the chain's affair.
    @Test func leavesItsStateAlone() throws {
        let operationCase = try #require(OperationCatalog.cases.first { $0.identifier == "decoding/batch_3_grouped" })
        let inputs = OperationChecker(.cpu(cpu)).drawInputs(operationCase)
        let variables = try zip(operationCase.inputs, inputs).map { Variable(try $0.tensor($1, on: .cpu(cpu))) }
        _ = try operationCase.run(Tape(.cpu(cpu)), variables)
        for (variable, input) in zip(variables, inputs) { #expect(variable.value.floatArray() == input.values) }
    }

    @Test func refusesMisfits() throws {
        let options = DecodingOptions(heads: 1, valueHeads: 1, keyDim: 4, valueDim: 8, taps: 0)
        func run(stream: Shape = [1, 8], up: Shape = [16, 8], gate: Shape? = [8, 8]) throws {
            func zeros(_ shape: Shape) -> Variable { Variable(cpu.zeros(shape)) }
            let projections = [[4, 8], [4, 8], [8, 8]].map { zeros(Shape($0)) } + [gate.map(zeros)]
            _ = try Tape(.cpu(cpu)).decodingStep(
                zeros(stream),
                weights: DecodingWeights(
                    norm: zeros([8]), projections: projections + [zeros([1, 8]), zeros([1, 8])], filters: [],
                    decay: (zeros([1]), zeros([1])), outputNorm: zeros([8]), output: zeros([8, 8]), mlpNorm: zeros([8]),
                    gate: zeros([16, 8]), up: zeros(up), down: zeros([8, 16])),
                state: DecodingState(windows: [], memory: zeros([1, 1, 4, 8])), options: options)
        }
        try run()
        #expect(throws: ShapeError("decoding", "up has shape [15, 8], expected [16, 8]")) { try run(up: [15, 8]) }
        #expect(throws: ShapeError("decoding", "projection gate is missing")) { try run(gate: nil) }
        #expect(throws: ShapeError("decoding", "stream is float32 [8], expected float32 [B, D]")) {
            try run(stream: [8])
        }
    }
}
