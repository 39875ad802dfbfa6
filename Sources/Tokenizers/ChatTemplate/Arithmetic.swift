import GDNTensor

extension Jinja.Interpreter {
    var overflow64: Failure { Failure(.limit, "a whole number does not fit 64 bits") }

    func binary(_ operation: Jinja.Operator, _ left: Value, _ right: Value) throws -> Value {
        if case .text(let format) = left, operation == .modulo { return try formatted(format, with: right) }
        for case .undefined(let undefined) in [left, right] { throw Failure(.undefined, undefined.message) }
        if let left = Jinja.Number(left), let right = Jinja.Number(right) {
            if case .int(let left) = left, case .int(let right) = right { return try whole(operation, left, right) }
            return .float(try float(operation, left.double, right.double))
        }
        switch (operation, left, right) {
        case (.add, .text(let left), .text(let right)):
            try charge(left.count + right.count)
            if left.isMarkup || right.isMarkup {
                return .text(Jinja.Text(left.escaped.scalars + right.escaped.scalars, isMarkup: true))
            }
            return .text(Jinja.Text(left.scalars + right.scalars))
        case (.add, .list(let left), .list(let right)): return try list(left.values + right.values)
        case (.add, .tuple(let left), .tuple(let right)):
            try charge(8 * (left.values.count + right.values.count))
            return .tuple(try Jinja.Items(left.values + right.values))
        case (.multiply, .text(let text), let count), (.multiply, let count, .text(let text)):
            return .text(Jinja.Text(try repeated(text.scalars, count, cost: 1), isMarkup: text.isMarkup))
        case (.multiply, .list(let items), let count), (.multiply, let count, .list(let items)):
            return .list(try Jinja.Items(try repeated(items.values, count, cost: 8)))
        case (.multiply, .tuple(let items), let count), (.multiply, let count, .tuple(let items)):
            return .tuple(try Jinja.Items(try repeated(items.values, count, cost: 8)))
        default:
            throw Failure(
                .value,
                "unsupported operand types for \(operation.rawValue): '\(left.typeName)' and '\(right.typeName)'")
        }
    }

    private func repeated<Element>(_ elements: [Element], _ count: Value, cost: Int) throws -> [Element] {
        guard let count = integer(count) else {
            throw Failure(.value, "a sequence can only be multiplied with a whole number")
        }
        if count <= 0 || elements.isEmpty { return [] }
        let (total, overflow) = elements.count.multipliedReportingOverflow(by: count)
        try charge(overflow || total > Int.max / cost ? Int.max : total * cost)
        var result: [Element] = []
        result.reserveCapacity(total)
        for _ in 0..<count { result += elements }
        return result
    }

    func negated(_ value: Value) throws -> Value {
        switch value {
        case .float(let value): return .float(-value)
        default:
            guard let value = try positiveInteger(value, "-") else { throw overflow64 }
            let (result, overflow) = 0.subtractingReportingOverflow(value)
            guard !overflow else { throw overflow64 }
            return .int(result)
        }
    }

    func positive(_ value: Value) throws -> Value {
        if case .float = value { return value }
        guard let value = try positiveInteger(value, "+") else { throw overflow64 }
        return .int(value)
    }

    private func positiveInteger(_ value: Value, _ sign: String) throws -> Int? {
        if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
        guard let value = integer(value) else {
            throw Failure(.value, "bad operand type for unary \(sign): '\(value.typeName)'")
        }
        return value
    }

    private func whole(_ operation: Jinja.Operator, _ left: Int, _ right: Int) throws -> Value {
        func checked(_ result: (partialValue: Int, overflow: Bool)) throws -> Value {
            guard !result.overflow else { throw overflow64 }
            return .int(result.partialValue)
        }
        switch operation {
        case .add: return try checked(left.addingReportingOverflow(right))
        case .subtract: return try checked(left.subtractingReportingOverflow(right))
        case .multiply: return try checked(left.multipliedReportingOverflow(by: right))
        case .divide:
            guard right != 0 else { throw Failure(.value, "division by zero") }
            return .float(Double(left) / Double(right))
        case .floorDivide:
            guard right != 0 else { throw Failure(.value, "integer division or modulo by zero") }
            let (quotient, overflow) = left.dividedReportingOverflow(by: right)
            guard !overflow else { throw overflow64 }
            return .int(left % right != 0 && (left < 0) != (right < 0) ? quotient - 1 : quotient)
        case .modulo:
            guard right != 0 else { throw Failure(.value, "integer modulo by zero") }
            if right == -1 { return .int(0) }
            let rest = left % right
            return .int(rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest)
        case .power: return try power(left, right)
        }
    }

    private func power(_ base: Int, _ exponent: Int) throws -> Value {
        if exponent < 0 { return .float(try float(.power, Double(base), Double(exponent))) }
        var (result, factor, rest) = (1, base, exponent)
        while rest > 0 {
            if rest & 1 == 1 {
                let (product, overflow) = result.multipliedReportingOverflow(by: factor)
                guard !overflow else { throw overflow64 }
                result = product
            }
            rest >>= 1
            if rest > 0 {
                let (square, overflow) = factor.multipliedReportingOverflow(by: factor)
                guard !overflow else { throw overflow64 }
                factor = square
            }
        }
        return .int(result)
    }

    private func float(_ operation: Jinja.Operator, _ left: Double, _ right: Double) throws -> Double {
        switch operation {
        case .add: return left + right
        case .subtract: return left - right
        case .multiply: return left * right
        case .divide:
            guard right != 0 else { throw Failure(.value, "float division by zero") }
            return left / right
        case .floorDivide, .modulo:
            guard right != 0 else { throw Failure(.value, "float floor division or modulo by zero") }
            let (quotient, rest) = Self.divided(left, right)
            return operation == .modulo ? rest : quotient
        case .power:
            if left == 0, right < 0 { throw Failure(.value, "zero cannot be raised to a negative power") }
            if left < 0, left.isFinite, right.isFinite, right != right.rounded() {
                throw Failure(.unsupported, "complex numbers are not supported")
            }
            let result = pow(left, right)
            if result.isInfinite, left.isFinite, right.isFinite { throw Failure(.value, "the result is too large") }
            return result
        }
    }

    /// Floor division and its rest, with the corrections for rounding that Python makes.
    private static func divided(_ left: Double, _ right: Double) -> (quotient: Double, rest: Double) {
        var rest = fmod(left, right)
        var quotient = (left - rest) / right
        if rest != 0 {
            if (right < 0) != (rest < 0) {
                rest += right
                quotient -= 1
            }
        } else {
            rest = Double(signOf: right, magnitudeOf: 0)
        }
        guard quotient != 0 else { return (Double(signOf: left / right, magnitudeOf: 0), rest) }
        let floor = quotient.rounded(.down)
        return (quotient - floor > 0.5 ? floor + 1 : floor, rest)
    }
}
