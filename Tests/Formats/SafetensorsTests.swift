import GDNFormats
import GDNTestSupport
import GDNTensor
import Testing

@Suite struct SafetensorsTests {
    let folder = TemporaryFolder()

    func file(_ header: String, _ data: [UInt8] = [], length: UInt64? = nil) throws -> String {
        let bytes = withUnsafeBytes(of: (length ?? UInt64(header.utf8.count)).littleEndian) { Array($0) }
        return try folder.write("case.safetensors", bytes + Array(header.utf8) + data)
    }

    func refusal(_ header: String, _ data: [UInt8] = [], length: UInt64? = nil) throws -> FormatError? {
        let path = try file(header, data, length: length)
        return #expect(throws: FormatError.self) { _ = try SafetensorsFile(path) }
    }

    @Test func writtenFileReadsBack() throws {
        let path = folder.path("a.safetensors")
        let items: [String: SafetensorsItem] = [
            "matrix": SafetensorsItem(floats: [1, -2.5, .infinity, 0x1p-140, 5, 6], shape: [2, 3]),
            "tokens": SafetensorsItem(integers: [7, -100], shape: [2]),
            "half": SafetensorsItem(bytes: [0x00, 0x3c, 0x01, 0x00, 0x00, 0xfc], dtype: .F16, shape: [3]),
            "brain": SafetensorsItem(bytes: [0x80, 0x3f, 0xc0, 0xff], dtype: .BF16, shape: [2]),
            "bytes": SafetensorsItem(bytes: [1, 2, 3], dtype: .U8, shape: [3, 1]),
            "long": SafetensorsItem(bytes: [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], dtype: .I64, shape: []),
            "none": SafetensorsItem(floats: [], shape: [0, 4]),
        ]
        try SafetensorsWriter.write(items, metadata: ["format": "pt", "a": "ü\"\n"], to: path)
        let file = try SafetensorsFile(path)
        #expect(file.metadata == ["format": "pt", "a": "ü\"\n"])
        #expect(Set(file.names) == Set(items.keys))
        #expect(try file.floats(of: "matrix") == [1, -2.5, .infinity, 0x1p-140, 5, 6])
        #expect(try file.floats(of: "half") == [1, 0x1p-24, -.infinity])
        #expect(try file.floats(of: "brain")[0] == 1)
        #expect(try file.floats(of: "brain")[1].isNaN)
        #expect(try file.integers(of: "tokens") == [7, -100])
        #expect(try file.integers(of: "bytes") == [1, 2, 3])
        #expect(try file.wideIntegers(of: "long") == [-1])
        #expect(try file.floats(of: "none").isEmpty)
        #expect(try file.entry("long").shape == [])
        #expect(try file.tensor("matrix").floatArray() == [1, -2.5, .infinity, 0x1p-140, 5, 6])
        #expect(try file.tensor("none").count == 0)
        #expect(throws: FormatError.self) { try file.floats(of: "tokens") }
        #expect(throws: FormatError.self) { try file.integers(of: "matrix") }
        #expect(throws: FormatError.self) { try file.tensor("long") }
        let missing = #expect(throws: FormatError.self) { try file.floats(of: "matrixx") }
        #expect(missing?.rule.contains("nearest name is matrix") == true)

        let again = folder.path("b.safetensors")
        try SafetensorsWriter.write(items, metadata: ["a": "ü\"\n", "format": "pt"], to: again)
        #expect(try TemporaryFolder.read(path) == TemporaryFolder.read(again))
        let copy = folder.path("c.safetensors")
        try SafetensorsWriter.write(["t": SafetensorsItem(file.tensor("matrix"))], to: copy)
        #expect(try SafetensorsFile(copy).floats(of: "t") == file.floats(of: "matrix"))
    }

    @Test func brokenRulesAreNamed() throws {
        let four: [UInt8] = [0, 0, 0, 0]
        func tensor(_ name: String, _ begin: Int, _ end: Int, _ type: String = "F32", _ shape: String = "[1]") -> String
        {
            "\"\(name)\":{\"dtype\":\"\(type)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
        }
        let cases: [(String, [UInt8], part: String?, rule: String)] = [
            ("{\(tensor("w", 0, 4))}", [0, 0], "tensor w", "has only 2 bytes"),
            ("{\(tensor("w", 0, 4))}", four + [9], nil, "the tensors take 4 bytes, the file has 5"),
            ("{\(tensor("w", 4, 8))}", four + four, "tensor w", "hole from 0"),
            ("{\(tensor("a", 0, 4)),\(tensor("b", 0, 4))}", four, "tensor b", "inside the tensor before it"),
            ("{\(tensor("a", 0, 4)),\(tensor("a", 4, 8))}", four + four, "header", "doubled"),
            ("{\(tensor("w", 0, 4, "F32", "[2]"))}", four, "tensor w", "takes 8 bytes, data_offsets span 4"),
            ("{\(tensor("w", 0, 4, "F99", "[1]"))}", four, "tensor w", "dtype must be one of"),
            ("{\(tensor("w", 0, 4, "F32", "[-1]"))}", four, "tensor w", "not negative"),
            ("{\(tensor("w", 0, 4, "F32", "[1.5]"))}", four, "tensor w", "whole numbers"),
            ("{\(tensor("w", 0, 4, "F32", "[4611686018427387904,8]"))}", four, "tensor w", "64 bits"),
            ("{\(tensor("w", 4, 0, "F32", "[1]"))}", four, "tensor w", "in order"),
            ("{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", four, "tensor w", "must have dtype"),
            ("{\"__metadata__\":{\"a\":1}}", [], nil, "must be a text"),
            ("[]", [], nil, "must begin with {"),
            ("{\"w\":", [], "header", "no valid JSON"),
        ]
        for (header, data, part, rule) in cases {
            let error = try refusal(header, data)
            #expect(error?.part == part, "\(header)")
            #expect(error?.rule.contains(rule) == true, "\(header): \(error?.description ?? "")")
        }
        #expect(try refusal("{}", length: 100_000_001)?.rule.contains("at most 100000000") == true)
        #expect(try refusal("{}", length: .max)?.rule.contains("at most 100000000") == true)
        #expect(try refusal("{}", length: 3)?.rule.contains("only 2 follow") == true)
        #expect(try SafetensorsFile(file("{}   ")).entries.isEmpty)
        for count in 0..<8 {
            let path = try folder.write("short.safetensors", [UInt8](repeating: 0, count: count))
            #expect(throws: FormatError.self) { try SafetensorsFile(path) }
        }
        #expect(throws: FormatError.self) { try SafetensorsFile(folder.path("absent")) }
        #expect(throws: FormatError.self) { try SafetensorsFile(folder.root) }
    }

    @Test func unalignedTensorIsCopied() throws {
        let path = try file("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", [0, 0, 0x80, 0x3f])
        #expect(try SafetensorsFile(path).floats(of: "w") == [1])
        #expect(try SafetensorsFile(path).tensor("w").floatArray() == [1])
    }

    @Test func writingToATensorLeavesTheFileAlone() throws {
        let path = folder.path("a.safetensors")
        try SafetensorsWriter.write(["w": SafetensorsItem(floats: [1, 2], shape: [2])], to: path)
        let tensor = try SafetensorsFile(path).tensor("w")
        tensor.floats[0] = 9
        #expect(tensor.floatArray() == [9, 2])
        #expect(try SafetensorsFile(path).floats(of: "w") == [1, 2])
    }

    @Test func goldenModelOpens() throws {
        let model = try SafetensorsModel(folder: TemporaryFolder.fixture("golden/models/fla_gated_deltanet"))
        #expect(model["model.embeddings.weight"]?.dtype == .BF16)
        let elements = try model.floats(of: "model.embeddings.weight")
        #expect(elements.count == 256 * 64)
        #expect(elements.allSatisfy { $0.isFinite && $0.bitPattern & 0xffff == 0 })
        #expect(throws: FormatError.self) { try model.floats(of: "model.embedding.weight") }
    }

    @Test func shardsAreFoundThroughTheIndex() throws {
        try SafetensorsWriter.write(["a": SafetensorsItem(floats: [1], shape: [1])], to: folder.path("m-1.safetensors"))
        try SafetensorsWriter.write(["b": SafetensorsItem(floats: [2], shape: [1])], to: folder.path("m-2.safetensors"))
        let index = folder.path("model.safetensors.index.json")
        try folder.write(
            "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\"}}")
        let model = try SafetensorsModel(folder: folder.root)
        #expect(model.path == index && model.names == ["a", "b"])
        #expect(try model.floats(of: "b") == [2])
        for (map, rule) in [
            ("{\"a\":\"m-2.safetensors\"}", "does not hold it"), ("{\"a\":\"../m-1.safetensors\"}", "same folder"),
            ("{\"a\":\"m-3.safetensors\"}", "No such file"), ("[]", "must have an object weight_map"),
        ] {
            try folder.write("model.safetensors.index.json", "{\"weight_map\":\(map)}")
            let error = #expect(throws: FormatError.self) { try SafetensorsModel(folder: folder.root) }
            #expect(error?.rule.contains(rule) == true, "\(error?.description ?? "")")
        }
    }

    @Test func unwritableItemsAreRefused() throws {
        let path = folder.path("a.safetensors")
        let wrong = SafetensorsItem(floats: [1, 2], shape: [3])
        #expect(throws: FormatError.self) { try SafetensorsWriter.write(["w": wrong], to: path) }
        #expect(throws: FormatError.self) {
            try SafetensorsWriter.write([:], to: folder.path("absent/a.safetensors"))
        }
    }
}
