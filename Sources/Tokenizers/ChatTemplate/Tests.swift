extension Jinja {
    /// A test: gets the value before `is` and the arguments.
    typealias Test = @Sendable (Interpreter, Value, Arguments) throws -> Value

    /// The tests by name.
    enum Tests {
        static let all: [String: Test] = types.merging(comparisons) { $1 }

        private static let comparisons: [String: Test] = [
            "eq": relation(.equal), "equalto": relation(.equal), "==": relation(.equal),
            "ne": relation(.notEqual), "!=": relation(.notEqual),
            "lt": relation(.less), "lessthan": relation(.less), "<": relation(.less),
            "le": relation(.lessOrEqual), "<=": relation(.lessOrEqual),
            "gt": relation(.greater), "greaterthan": relation(.greater), ">": relation(.greater),
            "ge": relation(.greaterOrEqual), ">=": relation(.greaterOrEqual),
            "in": relation(.within, parameter: "seq"),
            "odd": remainder(1, of: 2), "even": remainder(0, of: 2), "divisibleby": divisible, "sameas": same,
        ]

        private static let types: [String: Test] = [
            "defined": plain { if case .undefined = $0 { false } else { true } },
            "undefined": plain { if case .undefined = $0 { true } else { false } },
            "none": plain(\.isNull),
            "boolean": plain { if case .bool = $0 { true } else { false } },
            "true": plain { if case .bool(true) = $0 { true } else { false } },
            "false": plain { if case .bool(false) = $0 { true } else { false } },
            "integer": plain { if case .int = $0 { true } else { false } },
            "float": plain { if case .float = $0 { true } else { false } },
            "number": plain { Number($0) != nil },
            "string": plain { if case .text = $0 { true } else { false } },
            "mapping": plain { if case .dict = $0 { true } else { false } },
            "sequence": plain(isSequence), "iterable": plain(isIterable), "callable": plain(isCallable),
            "escaped": plain { if case .text(let text) = $0 { text.isMarkup } else { false } },
            "lower": cased(upper: false), "upper": cased(upper: true),
            "filter": { run, value, given in .bool(try Tests.name(value).map { Filters.all[$0] != nil } ?? false) },
            "test": { run, value, given in .bool(try Tests.name(value).map { Tests.all[$0] != nil } ?? false) },
        ]

        private static func plain(_ test: @escaping @Sendable (Value) -> Bool) -> Test {
            { _, value, given in
                _ = try given.bound(to: [], of: "the test")
                return .bool(test(value))
            }
        }

        private static func relation(_ relation: Comparison.Relation, parameter: String? = nil) -> Test {
            { run, value, given in
                let bound = try given.bound(
                    to: [parameter ?? "other"], required: 1, byName: parameter != nil, of: "the test")
                return .bool(try run.holds(relation, value, bound.value(0)))
            }
        }

        private static func cased(upper: Bool) -> Test {
            { run, value, _ in .bool(try Filters.softText(run, value).isCased(upper: upper)) }
        }

        private static func remainder(_ rest: Int, of divisor: Int) -> Test {
            { run, value, given in
                _ = try given.bound(to: [], of: "the test")
                return .bool(try run.areEqual(try run.binary(.modulo, value, .int(divisor)), .int(rest)))
            }
        }

        @Sendable private static func divisible(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value
        {
            let divisor = try given.bound(to: ["num"], required: 1, of: "divisibleby").value(0)
            return .bool(try run.areEqual(try run.binary(.modulo, value, divisor), .int(0)))
        }

        @Sendable private static func same(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            let other = try given.bound(to: ["other"], required: 1, of: "sameas").value(0)
            switch (value, other) {
            case (.bool, .int), (.int, .bool), (.bool, .float), (.float, .bool), (.int, .float), (.float, .int):
                return .bool(false)
            default: return .bool(try run.areEqual(value, other))
            }
        }

        private static func name(_ value: Value) throws -> String? {
            switch value {
            case .text(let text): return text.string
            case .list, .dict: throw Failure(.value, "unhashable type: '\(value.typeName)'")
            default: return nil
            }
        }

        @Sendable private static func isSequence(_ value: Value) -> Bool {
            switch value {
            // Something undefined has a length, 0, and that is all the test asks for.
            case .text, .list, .tuple, .dict, .range, .undefined: true
            default: false
            }
        }

        @Sendable private static func isIterable(_ value: Value) -> Bool {
            switch value {
            case .null, .bool, .int, .float, .namespace, .macro, .function, .method: false
            default: true
            }
        }

        @Sendable private static func isCallable(_ value: Value) -> Bool {
            switch value {
            case .undefined, .macro, .function, .method, .loop: true
            default: false
            }
        }
    }
}
