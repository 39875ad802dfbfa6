import ArgumentParser
import GDNCPUBackend
import GatedDeltaNet

/// `gdn doctor`: what this machine offers, what is missing and what that costs.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what this machine offers: cores, instruction sets, matrix libraries, memory, GPUs.")

    func run() throws {
        let cpu = CPUBackend()
        try Terminal.line("cores          \(CPUBackend.availableCores), kernels use \(CPUBackend.simdLevel)")
        #if arch(x86_64)
            let lacksVectors = CPUBackend.simdLevel == "baseline"
        #else
            let lacksVectors = false
        #endif
        if lacksVectors {
            try Terminal.line("               no AVX2: everything runs several times slower than on a recent processor")
        }
        try Terminal.line("memory         \(Readable.number(Double(CPUBackend.physicalMemory) / 0x1p30)) GiB")
        for library in MatrixProductLibrary.allCases where library != .automatic {
            let backend = CPUBackend(matrixProducts: library)
            let rate = Readable.number(backend.measurePeakMatrixProduct() * 1e-9)
            try Terminal.line("products       \(backend.matrixProductDescription): \(rate) GFLOP/s")
        }
        try Terminal.line(
            "               in use: \(cpu.matrixProductDescription); GDN_BLAS=oneDNN|openBLAS|builtIn changes it")
        do {
            _ = try MatrixProductLibrary.fromEnvironment()
        } catch {
            try Terminal.line("               wrong: \(error); until then other commands refuse to run")
        }
        for line in inspectCUDA() {
            let name = line.item + String(repeating: " ", count: max(1, 15 - line.item.count))
            try Terminal.line("\(name)\(line.works ? "" : "none: ")\(line.detail)")
        }
    }
}
