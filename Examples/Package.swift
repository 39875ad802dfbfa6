// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "Examples",
    dependencies: [.package(name: "GatedDeltaNet", path: "..")],
    targets: [
        .executableTarget(
            name: "Tour", dependencies: [.product(name: "GatedDeltaNet", package: "GatedDeltaNet")])
    ],
    swiftLanguageModes: [.v6]
)
