/// What happens to a text before it is cut into words, step by step, as a tokenizer.json has it.
struct TextNormalizer: Sendable, Equatable {
    /// One change.
    enum Step: Sendable, Equatable {
        /// Unicode's composed form.
        case nfc
        /// Something in front of a text that is not empty.
        case prepend([UInt8])
        /// One string in place of another, from left to right.
        case replace([UInt8], by: [UInt8])
    }

    /// The changes, in order.
    var steps: [Step] = []

    /// The changed text; nil when nothing changes.
    func normal(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        var result: [UInt8]?
        for step in steps {
            let changed = result.map { $0.withUnsafeBytes { Self.change($0, step) } } ?? Self.change(text, step)
            if let changed { result = changed }
        }
        return result
    }

    /// The steps by name, for people.
    var description: String {
        let names = steps.map { step in
            switch step {
            case .nfc: "NFC"
            case .prepend(let bytes): "\(String(decoding: bytes, as: UTF8.self)) in front"
            case .replace(let old, let new):
                "\(String(decoding: new, as: UTF8.self)) for \"\(String(decoding: old, as: UTF8.self))\""
            }
        }
        return names.isEmpty ? "none" : names.joined(separator: ", ")
    }

    private static func change(_ text: UnsafeRawBufferPointer, _ step: Step) -> [UInt8]? {
        switch step {
        case .nfc: return Normalization.shared.composed(text)
        case .prepend(let bytes): return text.isEmpty ? nil : bytes + text
        case .replace(let old, let new):
            var (result, index) = ([UInt8](), 0)
            result.reserveCapacity(text.count + text.count / 4)
            while index < text.count {
                if text[index] == old[0], text[index...].starts(with: old) {
                    result += new
                    index += old.count
                } else {
                    result.append(text[index])
                    index += 1
                }
            }
            return result
        }
    }
}
