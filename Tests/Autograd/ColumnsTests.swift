import GDNAutograd
import GDNCPUBackend
import GDNCUDABackend
import GDNTensor
import Testing

@Suite struct ColumnsTests {
    @Test func resultsBeginAtMultiplesOf16Bytes() {
        let layout = ColumnLayout(widths: [3, 16, 1])
        #expect(layout.starts == [0, 8, 24, 32])
        #expect(layout.count == 32)
        #expect(layout.pitch == 64)
    }

    @Test func onACPUResultsStayApart() throws {
        let cpu = CPUBackend(threads: 1)
        let variable = Variable(cpu.tensor([1, 2, 3, 4] as [Float], [2, 2]))
        let columns = try Tape(.cpu(cpu)).sideBySide([variable])[0]
        #expect(columns.isWhole && columns.shape == [2, 2])
        #expect(try Tape(.cpu(cpu)).variable(columns) === variable)
    }

    /// With a GPU: columns come back as they were, nobody's gradient is zero, and a second reader is an error.
    @Test func columnsOfCommonRows() throws {
        guard let cuda = try? CUDABackend() else { return }
        let backend = Backend.cuda(cuda)
        func upload(_ values: [Float], _ shape: Shape) throws -> Tensor { try backend.upload(values, shape) }
        let a = Variable(try upload([1, 2, 3, 4, 5, 6], [2, 3]), requiresGradient: true)
        let b = Variable(try upload([7, 8], [2, 1]), requiresGradient: true)
        let tape = Tape(backend)
        let columns = try tape.sideBySide([a, b])
        let copy = try tape.variable(columns[0])
        #expect(try backend.download(copy.value) == [1, 2, 3, 4, 5, 6])
        try tape.backward([copy], gradients: [try upload([1, 0, 2, 0, 3, 0], [2, 3])])
        #expect(try a.gradient.map(backend.download) == [1, 0, 2, 0, 3, 0])
        #expect(try b.gradient.map(backend.download) == [0, 0])

        let twice = Tape(backend)
        let shared = try twice.sideBySide([a, b])
        let readers = [try twice.variable(shared[0]), try twice.variable(shared[0])]
        let ones = try upload([1, 1, 1, 1, 1, 1], [2, 3])
        #expect(
            throws: BackendError("columns 0..<3 of common rows are read by two operations; copy them out for one")
        ) { try twice.backward(readers, gradients: [ones, ones]) }
    }
}
