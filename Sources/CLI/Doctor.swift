import ArgumentParser
import GDNCPUBackend
import GatedDeltaNet

/// `gdn doctor`: what this machine offers, what is missing and what that costs.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what this machine offers: cores, instruction sets, matrix libraries, memory, GPUs.")

    func run() throws {
        let cpu = CPUBackend()
        print("cores          \(CPUBackend.availableCores), kernels use \(CPUBackend.simdLevel)")
        #if arch(x86_64)
            let lacksVectors = CPUBackend.simdLevel == "baseline"
        #else
            let lacksVectors = false
        #endif
        if lacksVectors {
            print("               no AVX2: everything runs several times slower than on a recent processor")
        }
        print("memory         \(Terminal.number(Double(CPUBackend.physicalMemory) / 0x1p30)) GiB")
        for library in MatrixProductLibrary.allCases where library != .automatic {
            let backend = CPUBackend(matrixProducts: library)
            let rate = Terminal.number(backend.measurePeakMatrixProduct() * 1e-9)
            print("products       \(backend.matrixProductDescription): \(rate) GFLOP/s")
        }
        print("               in use: \(cpu.matrixProductDescription); GDN_BLAS=oneDNN|openBLAS|builtIn changes it")
        for line in inspectCUDA() {
            let name = line.item + String(repeating: " ", count: max(1, 15 - line.item.count))
            print("\(name)\(line.works ? "" : "none: ")\(line.detail)")
        }
    }
}
