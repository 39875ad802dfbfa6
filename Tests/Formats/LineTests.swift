import GDNFormats
import GDNTensor
import Testing

@Suite struct LineReaderTests {
    /// Lines as arrays; those that are too long as their length alone.
    func lines(_ bytes: [UInt8], longest: Int, seed: UInt64) throws -> [[UInt8]] {
        var reader = try LineReader(PieceStream(bytes, seed: seed), path: "a", longest: longest)
        var lines: [[UInt8]] = []
        while let line = try reader.next() {
            switch line {
            case .bytes(let bytes): lines.append(Array(bytes))
            case .tooLong(let count): lines.append([0] + Array("\(count)".utf8))
            }
        }
        #expect(reader.consumed == bytes.count)
        return lines
    }

    @Test func linesAreThoseOfTheWholeText() throws {
        var random = Random(seed: 4)
        for round in 0..<500 {
            let bytes = (0..<random.index(below: 400)).map { _ in
                random.index(below: 12) == 0 ? UInt8(ascii: "\n") : UInt8(65 + random.index(below: 26))
            }
            var expected = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map(Array.init)
            if expected.last == [] { expected.removeLast() }
            #expect(try lines(bytes, longest: 1 << 20, seed: UInt64(round)) == expected)
            let short = expected.map { $0.count > 9 ? [0] + Array("\($0.count)".utf8) : $0 }
            #expect(try lines(bytes, longest: 9, seed: UInt64(round)) == short)
        }
    }

    @Test func aLongLineGrowsTheBuffer() throws {
        let long = [UInt8](repeating: 65, count: 1_000_000)
        #expect(try lines(long + [10] + long, longest: 1_000_000, seed: 1) == [long, long])
        #expect(try lines(long + [10, 66], longest: 999_999, seed: 1) == [[0] + Array("1000000".utf8), [66]])
    }
}

/// The reader of one field and the full parser agree wherever the former answers, on good lines and on mutated ones.
@Suite struct JSONFieldTests {
    enum Outcome: Equatable {
        case text([UInt8])
        case absent
        case invalid
    }

    func full(_ line: [UInt8], _ field: String) -> Outcome {
        guard let value = try? line.withUnsafeBytes({ try JSONValue(parsing: $0, file: "") }) else { return .invalid }
        return value[field]?.string.map { .text(Array($0.utf8)) } ?? .absent
    }

    /// Nil when the reader leaves the line to the full parser.
    func fast(_ line: [UInt8], _ reader: inout JSONFieldReader) -> Outcome? {
        var line = line
        return line.withUnsafeMutableBytes { bytes -> Outcome? in
            guard UTF8Scan.firstInvalid(UnsafeRawBufferPointer(bytes)) == nil else { return nil }
            switch reader.read(bytes) {
            case .text(let text): return .text(Array(text))
            case .absent: return .absent
            case .unsure: return nil
            }
        }
    }

    static func string(_ random: inout Random) -> String {
        let pieces = [
            "a", "text", "lorem ipsum dolor sit amet, consectetur adipiscing", "\\n", "\\\"", "\\\\", "\\/",
            "\\b\\f\\r\\t",
            "\\u00e9", "\\u4E2d\\u6587", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\ud83d\\u0041", "é", "中文", "😀", " ",
            "",
            "\\u0000", "\u{7f}",
        ]
        return "\"" + (0..<random.index(below: 6)).map { _ in pieces[random.index(below: pieces.count)] }.joined()
            + "\""
    }

    static func value(_ random: inout Random, _ depth: Int) -> String {
        let numbers = [
            "0", "-0", "7", "-12", "3.25", "1e5", "1E-07", "2.5e+10", "12345678901234567890", "1e99", "1e308", "1e400",
            "0.0000001", "1e-400",
        ]
        switch random.index(below: depth > 3 ? 5 : 8) {
        case 0: return ["true", "false", "null"][random.index(below: 3)]
        case 1: return numbers[random.index(below: numbers.count)]
        case 5: return object(&random, depth + 1)
        case 6:
            let elements = (0..<random.index(below: 4)).map { _ in value(&random, depth + 1) }
            return "[" + elements.joined(separator: random.index(below: 2) == 0 ? "," : " ,\t") + "]"
        default: return string(&random)
        }
    }

    static func object(_ random: inout Random, _ depth: Int) -> String {
        var keys = ["\"text\"", "\"id\"", "\"a b\"", "\"Text\"", "\"\""]
        if random.index(below: 3) == 0 { keys += ["\"é\"", "\"e\u{301}\"", "\"te\\u0078t\""] }
        var members: [String] = []
        for _ in 0..<random.index(below: 5) {
            let index = random.index(below: keys.count)
            // Now and then a doubled key.
            let key = random.index(below: 20) == 0 ? keys[index] : keys.remove(at: index)
            members.append(key + (random.index(below: 2) == 0 ? ":" : " : ") + value(&random, depth))
        }
        return "{" + members.joined(separator: random.index(below: 2) == 0 ? ", " : ",") + "}"
    }

    /// Long strings, so that steps of 64 bytes meet escapes at their ends, rows of backslashes, and the end inside them; with
    /// and without the processor's wide steps.
    @Test(arguments: [true, false])
    func longStringsAreThoseOfTheFullParser(_ wideSteps: Bool) {
        var random = Random(seed: 13)
        var reader = JSONFieldReader(field: "text", wideSteps: wideSteps)
        var texts = 0
        let alphabet = Array("\\\"u0dDnx \u{1}\u{1f}{".utf8)
        for _ in 0..<20_000 {
            let content = (0..<random.index(below: 12)).map { _ in
                random.index(below: 6) == 0
                    ? String(repeating: "\\\\", count: random.index(below: 70))
                    : String(Self.string(&random).dropFirst().dropLast())
            }.joined()
            let filler = String(repeating: "x", count: random.index(below: 64))
            var line = Array("{\"text\": \"\(filler)\(content)\"}".utf8)
            if random.index(below: 2) == 0 {
                line[random.index(below: line.count)] = alphabet[random.index(below: alphabet.count)]
            }
            guard let answer = fast(line, &reader) else { continue }
            #expect(answer == full(line, "text"), "\(String(decoding: line, as: UTF8.self))")
            if case .text = answer { texts += 1 }
        }
        #expect(texts > 8_000)
    }

    @Test(arguments: [true, false])
    func answersAreThoseOfTheFullParser(_ wideSteps: Bool) {
        var random = Random(seed: 12)
        var reader = JSONFieldReader(field: "text", wideSteps: wideSteps)
        var (valid, answered, texts) = (0, 0, 0)
        for _ in 0..<60_000 {
            let line = Array(Self.object(&random, 0).utf8)
            let expected = full(line, "text")
            let answer = fast(line, &reader)
            #expect(answer == nil || answer == expected, "\(String(decoding: line, as: UTF8.self))")
            if expected != .invalid { valid += 1 }
            if answer != nil { answered += 1 }
            if case .text = answer { texts += 1 }
            for _ in 0..<2 {
                var mutated = line
                let alphabet = Array("{}[]\",:\\u0dDeE+-.1ntf \n\u{1}\u{e9}".utf8)
                for _ in 0...random.index(below: 2) where !mutated.isEmpty {
                    let place = random.index(below: mutated.count)
                    switch random.index(below: 3) {
                    case 0: mutated.remove(at: place)
                    case 1: mutated[place] = alphabet[random.index(below: alphabet.count)]
                    default: mutated.insert(alphabet[random.index(below: alphabet.count)], at: place)
                    }
                }
                if let answer = fast(mutated, &reader) {
                    let expected = full(mutated, "text")
                    #expect(answer == expected, "\(String(decoding: mutated, as: UTF8.self))")
                }
            }
        }
        // The full parser is for the exceptions; this generator makes many of them.
        #expect(valid > 40_000 && answered > valid / 3 && texts > 5_000)
    }

    @Test func ordinaryLinesNeedNoFullParser() {
        var reader = JSONFieldReader(field: "text")
        let line = #"{"text": "a\nb \"c\" \u00e9 \ud83d\ude00", "id": "<urn:1>", "score": 0.97, "n": [1, {"text": 2}]}"#
        #expect(fast(Array(line.utf8), &reader) == .text(Array("a\nb \"c\" é 😀".utf8)))
        #expect(fast(Array(#" { "id" : 1 } "#.utf8), &reader) == .absent)
        #expect(fast(Array(#"{"text": 1}"#.utf8), &reader) == .absent)
        #expect(fast(Array(#"{"meta": {"text": "no"}}"#.utf8), &reader) == .absent)
        for line in [
            #"{"text": "a", "text": "b"}"#, #"["text"]"#, #"{"text": "a"} x"#, #"{"text": "a"#, "", "{", "\"text\"",
        ] {
            #expect(fast(Array(line.utf8), &reader) == nil)
        }
        var other = JSONFieldReader(field: "e\u{301}")
        #expect(fast(Array("{\"é\": \"a\"}".utf8), &other) == nil)
    }

    @Test func nestingIsBoundedAsInTheFullParser() {
        var reader = JSONFieldReader(field: "text")
        for depth in [1, 126, 127, 128, 129, 100_000] {
            let line = Array(("{\"a\":" + String(repeating: "[", count: depth - 1)).utf8)
            let closed = line + Array((String(repeating: "]", count: depth - 1) + "}").utf8)
            if depth > 1 {
                #expect((fast(closed, &reader) == .absent) == (full(closed, "text") == .absent))
                #expect((fast(closed, &reader) == .absent) == (depth <= 128))
            }
            #expect(fast(line, &reader) == nil)
        }
    }
}
