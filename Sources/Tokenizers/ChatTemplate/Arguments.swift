extension Jinja {
    /// The arguments of a call as values.
    struct Arguments {
        var positional: [Value] = []
        var named: [(name: String, value: Value)] = []

        /// The arguments in the order of a function's parameters, nil where one is not given.
        /// - Parameters:
        ///   - parameters: names
        ///   - required: how many of them must be given
        ///   - byName: whether they can be given by name
        func bound(
            to parameters: [String], required: Int = 0, byName: Bool = true, of function: String
        ) throws -> Bound {
            guard positional.count <= parameters.count else {
                throw Failure(
                    .value, "\(function) takes at most \(parameters.count) arguments, \(positional.count) are given")
            }
            var values: [Value?] = positional
            values += Array(repeating: nil, count: parameters.count - positional.count)
            for (name, value) in named {
                guard byName, let place = parameters.firstIndex(of: name) else {
                    throw Failure(.value, "\(function) has no argument '\(name)'")
                }
                guard values[place] == nil else {
                    throw Failure(.value, "\(function) got the argument '\(name)' twice")
                }
                values[place] = value
            }
            if let missing = values[..<required].firstIndex(where: { $0 == nil }) {
                throw Failure(.value, "\(function) needs the argument '\(parameters[missing])'")
            }
            return Bound(values: values, function: function)
        }
    }

    /// Arguments in the order of the parameters.
    struct Bound {
        let values: [Value?]
        let function: String

        subscript(place: Int) -> Value? { values[place] }

        /// The value, or null.
        func value(_ place: Int) -> Value { values[place] ?? .null }

        func isTrue(_ place: Int) -> Bool { values[place]?.isTrue ?? false }

        /// A text.
        func text(_ place: Int) throws -> Text {
            guard case .text(let text) = values[place] else { throw wrong(place, "a string") }
            return text
        }

        /// A text, or nil for None or nothing.
        func optionalText(_ place: Int) throws -> Text? {
            switch values[place] {
            case nil, .some(.null): nil
            default: try text(place)
            }
        }

        /// A whole number; nil when nothing is given.
        func integer(_ place: Int) throws -> Int? {
            switch values[place] {
            case nil: nil
            case .int(let value): value
            case .bool(let value): value ? 1 : 0
            default: throw wrong(place, "a whole number")
            }
        }

        private func wrong(_ place: Int, _ expected: String) -> Failure {
            if case .undefined(let undefined) = values[place] { return Failure(.undefined, undefined.message) }
            return Failure(
                .value, "\(function) expected \(expected), not '\(values[place]?.typeName ?? "nothing")'")
        }
    }
}
