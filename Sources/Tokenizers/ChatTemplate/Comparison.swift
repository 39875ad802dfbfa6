extension Jinja.Interpreter {
    func holds(_ relation: Jinja.Comparison.Relation, _ left: Value, _ right: Value) throws -> Bool {
        switch relation {
        case .equal: try areEqual(left, right)
        case .notEqual: try !areEqual(left, right)
        case .less: try order(left, right, "<") { $0 < 0 }
        case .lessOrEqual: try order(left, right, "<=") { $0 <= 0 }
        case .greater: try order(left, right, ">") { $0 > 0 }
        case .greaterOrEqual: try order(left, right, ">=") { $0 >= 0 }
        case .within: try contains(right, left)
        case .notWithin: try !contains(right, left)
        }
    }

    func areEqual(_ left: Value, _ right: Value) throws -> Bool {
        try charge(min(left.weight, right.weight))
        switch (left, right) {
        case (.undefined, .undefined), (.null, .null): return true
        case (.text(let left), .text(let right)): return left == right
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            return try left.values.count == right.values.count
                && zip(left.values, right.values).allSatisfy { try areEqual($0, $1) }
        case (.dict(let left), .dict(let right)):
            guard left.count == right.count else { return false }
            return try left.members.allSatisfy { key, value in
                guard let other = try right[key] else { return false }
                return try areEqual(value, other)
            }
        case (.view(let left), .view(let right)): return try areEqual(left, right)
        case (.range(let left), .range(let right)):
            return left.count == right.count
                && (left.count == 0 || left.start == right.start && (left.count == 1 || left.step == right.step))
        case (.namespace(let left), .namespace(let right)): return left === right
        case (.macro(let left), .macro(let right)): return left === right
        case (.loop(let left), .loop(let right)): return left === right
        case (.lazy(let left), .lazy(let right)): return left === right
        case (.function(let left), .function(let right)): return left == right
        default:
            guard let left = Jinja.Number(left), let right = Jinja.Number(right) else { return false }
            return left.compared(to: right) == 0
        }
    }

    /// Views of keys and of items are sets; views of values are equal to nothing.
    private func areEqual(_ left: Jinja.View, _ right: Jinja.View) throws -> Bool {
        guard left.part == right.part, left.part != .values, left.dictionary.count == right.dictionary.count else {
            return false
        }
        return try left.dictionary.members.allSatisfy { key, value in
            guard let other = try right.dictionary[key] else { return false }
            return try left.part == .keys || areEqual(value, other)
        }
    }

    /// Whether the order of two values, as a number below, at or above zero, passes a test.
    private func order(_ left: Value, _ right: Value, _ sign: String, _ test: (Int) -> Bool) throws -> Bool {
        for case .undefined(let undefined) in [left, right] { throw Failure(.undefined, undefined.message) }
        guard let order = try compare(left, right) else {
            if Jinja.Number(left) != nil, Jinja.Number(right) != nil { return false }
            throw Failure(
                .value, "'\(sign)' not supported between instances of '\(left.typeName)' and '\(right.typeName)'")
        }
        return test(order)
    }

    /// `left < right` for sorting.
    func isLess(_ left: Value, _ right: Value) throws -> Bool { try order(left, right, "<") { $0 < 0 } }

    /// The order of two values; nil when they have none.
    private func compare(_ left: Value, _ right: Value) throws -> Int? {
        try charge(min(left.weight, right.weight))
        switch (left, right) {
        case (.text(let left), .text(let right)): return left == right ? 0 : left < right ? -1 : 1
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            for (left, right) in zip(left.values, right.values) where try !areEqual(left, right) {
                let isLess = try order(left, right, "<") { $0 < 0 }
                return isLess ? -1 : try order(left, right, ">") { $0 > 0 } ? 1 : nil
            }
            return left.values.count - right.values.count
        default:
            guard let left = Jinja.Number(left), let right = Jinja.Number(right) else { return nil }
            return left.compared(to: right)
        }
    }

    /// `element in container`
    func contains(_ container: Value, _ element: Value) throws -> Bool {
        switch container {
        case .text(let text):
            guard case .text(let part) = element else {
                throw Failure(
                    .value, "'in <string>' requires string as left operand, not \(element.typeName)")
            }
            try charge(text.count + part.count)
            return text.contains(part)
        case .dict(let dictionary):
            try charge(element.weight)
            return try dictionary[element] != nil
        case .view(let view) where view.part == .keys: return try view.dictionary[element] != nil
        case .namespace, .macro, .function, .method, .null, .bool, .int, .float:
            throw Failure(.value, "argument of type '\(container.typeName)' is not iterable")
        default:
            let cursor = try cursor(container)
            while let candidate = try cursor.next() {
                if try areEqual(candidate, element) { return true }
            }
            return false
        }
    }
}
