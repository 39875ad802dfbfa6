import GDNFormats
import GDNTensor
import Testing

@Suite struct JSONTests {
    @Test(arguments: [
        "null", "true", "[]", "{}", "-0", "0.5", "1e3", "[1,2,[3]]", "{\"a\":{\"b\":[null,false]}}",
        "\"\\u00e9 \\ud83d\\ude00\"",
        " \n\t\r[ 1 , 2 ] ", "9223372036854775807", "9223372036854775808", "\"ä\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
    ])
    func validTextSurvivesARoundTrip(_ text: String) throws {
        let value = try JSONValue(parsing: text)
        #expect(try JSONValue(parsing: value.text()) == value)
        #expect(try JSONValue(parsing: value.text(indented: true)) == value)
    }

    @Test(arguments: [
        "", " ", "nul", "tru", "truee", "[1,]", "[1 2]", "[", "{", "{\"a\"}", "{\"a\":1,}", "{a:1}",
        "{\"a\":1 \"b\":2}", "01", "1.",
        ".5", "+1", "-", "1e", "1e+", "0x10", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\n\"", "[1]]", "1 2",
        "{\"a\":1,\"a\":2}",
        "1e999", "'a'", "[1e1000]", "NaN",
    ])
    func invalidTextIsRefused(_ text: String) {
        #expect(throws: FormatError.self) { try JSONValue(parsing: text) }
    }

    @Test func valuesAreWhatTheTextSays() throws {
        let value = try JSONValue(parsing: #"{"z": 1, "a": [1.5, -2, "é😀"], "n": null}"#)
        #expect(value.object?.keys == ["z", "a", "n"])
        #expect(value["z"]?.integer == 1)
        #expect(value["z"]?.double == 1)
        #expect(value["a"] == .array([.number(1.5), -2, "é😀"]))
        #expect(value["n"] == .null && value["missing"] == nil)
        #expect(try JSONValue(parsing: #""\ud83d x""#) == "\u{fffd} x")
        #expect(JSONValue.number(.nan).text() == "null")
        #expect(JSONValue.string("\u{1}\"").text() == #""\u0001\"""#)
        for number: Double in [0.1, 1e-300, 12345.678, .leastNonzeroMagnitude] {
            #expect(try JSONValue(parsing: JSONValue.number(number).text()).double == number)
        }
    }

    /// A text of a million brackets once exhausted the stack of many a parser.
    @Test func depthIsBounded() throws {
        let deep = String(repeating: "[", count: 1_000_000)
        #expect(throws: FormatError.self) { try JSONValue(parsing: deep) }
        let allowed = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
        #expect(try JSONValue(parsing: allowed).array?.count == 1)
        #expect(throws: FormatError.self) { try JSONValue(parsing: "[" + allowed + "]") }
    }

    @Test func invalidUTF8InAStringIsRefused() {
        for bytes: [UInt8] in [[0x22, 0xff, 0x22], [0x22, 0xc3, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22]] {
            #expect(throws: FormatError.self) {
                try bytes.withUnsafeBytes { try JSONValue(parsing: $0, file: "x") }
            }
        }
    }

    @Test func randomBytesNeverCrash() {
        var random = Random(seed: 5)
        let alphabet = Array("{}[]\",:\\u0019eE+-.truefalsn \u{e9}".utf8) + [0xff, 0x00]
        var accepted = 0
        for _ in 0..<20_000 {
            let bytes = (0..<random.index(below: 24)).map { _ in alphabet[random.index(below: alphabet.count)] }
            if (try? bytes.withUnsafeBytes { try JSONValue(parsing: $0, file: "") }) != nil { accepted += 1 }
        }
        #expect(accepted > 0 && accepted < 10_000)
    }
}
