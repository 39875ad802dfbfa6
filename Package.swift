// swift-tools-version: 6.2
import PackageDescription

/// One row an operation: a folder of `Sources/Ops`, and which files it has beside the five Swift sources and the folder
/// `Tests` that every operation has.
///
/// SwiftPM compiles the folder three times over: Swift sources into `GDNOps`, `kernel.c` into `GDNOpsKernels`,
/// `Tests` into `GDNOpsTests`. CUDA sources reach the binary through `#embed` in `Kernels/KernelText.c`.
/// What one target compiles the others must exclude by name; naming a file that is not there is a warning.
struct Operation {
    var name: String
    /// Has a `kernel.c`.
    var kernel = true
    /// CUDA sources.
    var cuda = ["kernel.cu"]
    /// C sources beside `kernel.c`, and headers they share.
    var moreKernels: [String] = []
    var headers: [String] = []
    /// Swift sources beside `NAME.swift`, `NAME+Reference.swift`, `NAME+CPU.swift`, `NAME+CUDA.swift` and
    /// `NAME+Cases.swift`.
    var more: [String] = []

    var swift: [String] {
        (["", "+Reference", "+CPU", "+CUDA", "+Cases"].map { name + $0 + ".swift" } + more).map(path)
    }
    var kernels: [String] { ((kernel ? ["kernel.c"] : []) + moreKernels).map(path) }
    var texts: [String] { (["README.md"] + cuda + headers).map(path) }
    var testFolder: String { path("Tests") }

    private func path(_ file: String) -> String { "\(name)/\(file)" }
}

let operations: [Operation] = [
    Operation(name: "Embedding"),
    Operation(name: "Linear", kernel: false, cuda: []),
    Operation(name: "RMSNorm"),
    Operation(name: "GatedRMSNorm"),
    Operation(name: "L2Norm"),
    Operation(name: "Activation"),
    Operation(name: "ShortConvolution", cuda: ["convolution.cuh", "forward.cu", "backward.cu"]),
    Operation(name: "SwiGLU"),
    Operation(name: "CrossEntropy"),
    Operation(name: "AdamW"),
    Operation(name: "GradientClipping"),
    Operation(name: "Gates"),
    Operation(
        name: "GatedDeltaRule", kernel: false,
        cuda: [
            "warpgroup.cuh", "chunk.cuh", "prepare.cu", "scan.cuh", "forward_pass.cuh", "backward_pass.cuh",
            "forward_scan.cu", "backward_scan.cu",
            "segments.cu", "gradients.cu", "step.cu",
        ],
        moreKernels: ["forward.c", "backward.c", "step.c"],
        headers: ["panel.h", "chunk.h", "scan.h", "gradients.h"],
        more: [
            "GatedDeltaRule+Arguments.swift", "GatedDeltaRule+Backward.swift", "GatedDeltaRule+Step.swift",
            "GatedDeltaRule+Plan.swift",
        ]),
    Operation(
        name: "Decoding", kernel: false,
        cuda: [
            "chain.cuh", "product.cuh", "project.cu", "step.cu", "output.cu", "gate_up.cu", "down.cu", "head.cu",
            "rows.cu", "wide.cuh", "wide_project.cu", "wide_gate_up.cu", "wide_part.cu",
        ],
        more: [
            "Decoding+Arguments.swift", "Decoding+Plan.swift", "Decoding+Work.swift", "Decoding+Products.swift",
            "Decoding+Streamed.swift", "Decoding+Wide.swift", "Decoding+Library.swift",
        ]),
]

let sharedSwift = [
    "Catalog.swift", "Checker/OperationCase.swift", "Checker/OperationChecker.swift",
    "Checker/OperationChecker+Cases.swift", "Checker/Reference.swift", "Kernels+CUDA.swift", "Precision.swift",
]
let operationKernels = operations.flatMap(\.kernels)
let operationTests = ["Checker/Tests"] + operations.map(\.testFolder)
let operationTexts = ["README.md", "Checker/README.md"] + operations.flatMap(\.texts)

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

let package = Package(
    name: "GatedDeltaNet",
    products: [
        .library(name: "GatedDeltaNet", targets: ["GatedDeltaNet"]),
        .executable(name: "gdn", targets: ["gdn"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.0.0"),
    ],
    targets: [
        // Nouns: shapes, dtypes, storage, tensors, random numbers, errors.
        .target(name: "GDNTensor", path: "Sources/Tensor", exclude: ["README.md"]),

        // Backends. A backend knows no operation by name.
        .target(
            name: "GDNCPUKernels", path: "Sources/CPUBackend/Kernels", publicHeadersPath: "include",
            linkerSettings: [.linkedLibrary("m")]),
        .target(
            name: "GDNCPUBackend", dependencies: ["GDNTensor", "GDNCPUKernels"], path: "Sources/CPUBackend",
            exclude: ["Kernels", "README.md"]),
        .target(
            name: "GDNCUDAKernels", path: "Sources/CUDABackend/Kernels", sources: ["KernelText.c"],
            publicHeadersPath: "include"),
        .target(
            name: "GDNCUDABackend", dependencies: ["GDNTensor", "GDNCUDAKernels"], path: "Sources/CUDABackend",
            exclude: ["Kernels", "README.md"]),
        .target(
            name: "GDNAutograd", dependencies: ["GDNTensor", "GDNCPUBackend", "GDNCUDABackend"],
            path: "Sources/Autograd", exclude: ["README.md"]),

        // Operations: three targets over one path.
        .target(
            name: "GDNOpsKernels", dependencies: ["GDNCPUKernels"], path: "Sources/Ops",
            sources: ["Kernels/KernelText.c"] + operationKernels, publicHeadersPath: "Kernels/include",
            linkerSettings: [.linkedLibrary("m")]),
        .target(
            name: "GDNOps", dependencies: ["GDNAutograd", "GDNOpsKernels"], path: "Sources/Ops",
            exclude: ["Kernels"] + operationKernels + operationTests + operationTexts),
        .testTarget(
            name: "GDNOpsTests", dependencies: ["GDNOps", "GDNFormats"], path: "Sources/Ops",
            exclude: ["Kernels"] + operationKernels + operationTexts + sharedSwift + operations.flatMap(\.swift),
            sources: operationTests),

        // Models and what surrounds them.
        .target(name: "GDNFormatsKernels", path: "Sources/Formats/Kernels", publicHeadersPath: "include"),
        .target(
            name: "GDNFormats", dependencies: ["GDNTensor", "GDNFormatsKernels"], path: "Sources/Formats",
            exclude: ["Kernels", "README.md"]),
        .target(
            name: "GDNModels", dependencies: ["GDNOps", "GDNFormats"], path: "Sources/Models", exclude: ["README.md"]),
        .target(
            name: "GDNTokenizers", dependencies: ["GDNFormats"], path: "Sources/Tokenizers",
            exclude: ["README.md", "ChatTemplate/README.md"]),
        .target(
            name: "GDNData", dependencies: ["GDNTensor", "GDNTokenizers", "GDNFormats", "GDNFormatsKernels"],
            path: "Sources/Data",
            exclude: ["README.md"]),
        .target(
            name: "GDNInference", dependencies: ["GDNModels", "GDNTokenizers"], path: "Sources/Inference",
            exclude: ["README.md"]),
        .target(
            name: "GDNEvaluation", dependencies: ["GDNInference", "GDNData"], path: "Sources/Evaluation",
            exclude: ["README.md"]),
        .target(
            name: "GDNTraining", dependencies: ["GDNEvaluation", "GDNData", yams], path: "Sources/Training",
            exclude: ["README.md"]),
        .target(
            name: "GatedDeltaNet",
            dependencies: ["GDNTraining", "GDNEvaluation", "GDNInference", "GDNModels", "GDNOps"],
            path: "Sources/GatedDeltaNet"),
        .target(
            name: "GDNBenchmarks", dependencies: ["GDNTraining"], path: "Sources/Benchmarks", exclude: ["README.md"]),
        .executableTarget(
            name: "gdn", dependencies: ["GatedDeltaNet", "GDNBenchmarks", argumentParser], path: "Sources/CLI",
            exclude: ["README.md"]),

        // Tests of one target; what crosses targets is in EndToEnd.
        .testTarget(name: "TensorTests", dependencies: ["GDNTensor"], path: "Tests/Tensor"),
        .testTarget(name: "CPUBackendTests", dependencies: ["GDNCPUBackend"], path: "Tests/CPUBackend"),
        .testTarget(name: "CUDABackendTests", dependencies: ["GDNCUDABackend"], path: "Tests/CUDABackend"),
        .testTarget(name: "AutogradTests", dependencies: ["GDNAutograd", "GDNOps"], path: "Tests/Autograd"),
        .target(name: "GDNTestSupport", dependencies: ["GDNFormats"], path: "Tests/Support"),
        .testTarget(name: "FormatsTests", dependencies: ["GDNFormats", "GDNTestSupport"], path: "Tests/Formats"),
        .testTarget(name: "ModelsTests", dependencies: ["GDNModels"], path: "Tests/Models"),
        .testTarget(
            name: "TokenizersTests", dependencies: ["GDNTokenizers", "GDNTestSupport"], path: "Tests/Tokenizers"),
        .testTarget(
            name: "DataTests", dependencies: ["GDNData", "GDNTokenizers", "GDNTestSupport"], path: "Tests/Data"),
        .testTarget(
            name: "TrainingTests", dependencies: ["GDNTraining", "GDNTestSupport"], path: "Tests/Training"),
        .testTarget(
            name: "EndToEndTests", dependencies: ["GatedDeltaNet", "GDNTestSupport"], path: "Tests/EndToEnd"),
        .testTarget(
            name: "ChatTemplatesTests", dependencies: ["GDNTokenizers", "GDNTestSupport"], path: "Tests/ChatTemplates"),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu2x
)
