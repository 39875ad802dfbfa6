extension Jinja {
    /// The variable `loop`.
    final class Loop {
        let statement: LoopStatement
        let depth0: Int
        /// The scope around the loop; nil when the loop has ended.
        private(set) var frame: Frame?
        private(set) var index0 = -1
        private var cursor: Cursor?
        private var knownLength: Int?
        private var current: Value?
        private var before: Value?
        /// The next element, when it was looked at already; the inner nil says that there is none.
        private var ahead: Value??
        private var lastChanged: [Value]?

        init(_ statement: LoopStatement, _ cursor: Cursor, depth0: Int, in frame: Frame) {
            self.statement = statement
            self.cursor = cursor
            self.depth0 = depth0
            self.frame = frame
            knownLength = cursor.length
        }

        func next() throws -> Value? {
            let element = try ahead ?? cursor?.next()
            ahead = nil
            guard let element else { return nil }
            index0 += 1
            before = current
            current = element
            return element
        }

        /// After the last turn nothing is kept alive.
        func finish() {
            (cursor, frame) = (nil, nil)
            (current, before, ahead, lastChanged) = (nil, nil, .some(nil), nil)
        }

        private func peek() throws -> Value? {
            if let ahead { return ahead }
            let element = try cursor?.next()
            ahead = .some(element)
            return element
        }

        func length() throws -> Int {
            if let knownLength { return knownLength }
            var rest: [Value] = []
            while let element = try cursor?.next() { rest.append(element) }
            let isAhead = if case .some(.some) = ahead { true } else { false }
            let count = rest.count + index0 + 1 + (isAhead ? 1 : 0)
            cursor = Cursor(rest)
            knownLength = count
            return count
        }

        func attribute(_ name: String) throws -> Value? {
            switch name {
            case "index0": .int(index0)
            case "index": .int(index0 + 1)
            case "revindex0": .int(try length() - index0 - 1)
            case "revindex": .int(try length() - index0)
            case "first": .bool(index0 == 0)
            case "last": .bool(try peek() == nil)
            case "length": .int(try length())
            case "depth0": .int(depth0)
            case "depth": .int(depth0 + 1)
            case "previtem": index0 == 0 ? .undefined(Undefined("there is no previous item")) : before ?? .null
            case "nextitem": try peek() ?? .undefined(Undefined("there is no next item"))
            case "cycle", "changed": .method(Method(.loop(self), name))
            default: nil
            }
        }

        func changed(_ values: [Value], _ interpreter: Interpreter) throws -> Bool {
            if let lastChanged, lastChanged.count == values.count,
                try zip(lastChanged, values).allSatisfy({ try interpreter.areEqual($0, $1) })
            {
                return false
            }
            lastChanged = values
            return true
        }

    }
}

extension Jinja.Interpreter {
    /// Runs a loop over its own sequence.
    func run(_ loop: Jinja.LoopStatement) throws -> Jinja.Flow {
        let value = try evaluate(loop.sequence)
        position = loop.sequence.position
        return try run(loop, over: value, depth0: 0, parent: frame)
    }

    /// The text of a loop that may call itself.
    func recursive(_ loop: Jinja.LoopStatement) throws -> Jinja.Text {
        try nested {
            let value = try evaluate(loop.sequence)
            position = loop.sequence.position
            let parent = frame
            return try captured { _ = try run(loop, over: value, depth0: 0, parent: parent) }
        }
    }

    /// `loop(children)`
    func recurse(_ state: Jinja.Loop, _ value: Value) throws -> Value {
        guard state.statement.isRecursive else {
            throw Failure(.value, "a loop must be 'recursive' to be called")
        }
        guard let parent = state.frame else { throw Failure(.value, "the loop has ended") }
        return try nested {
            .text(try captured { _ = try run(state.statement, over: value, depth0: state.depth0 + 1, parent: parent) })
        }
    }

    private func run(
        _ loop: Jinja.LoopStatement, over value: Value, depth0: Int, parent: Jinja.Frame
    ) throws -> Jinja.Flow {
        var cursor = try cursor(value)
        if let (test, scope) = loop.filter { cursor = filtered(cursor, loop.target, test, scope, parent) }
        let state = Jinja.Loop(loop, cursor, depth0: depth0, in: parent)
        defer { state.finish() }
        let inner = newFrame(loop.body.scope, parent: parent)
        let name = program.loopName
        var hasRun = false
        try within(inner) {
            while let element = try state.next() {
                try charge(4)
                if let name { inner.set(name, .loop(state)) }
                position = loop.sequence.position
                try assign(element, to: loop.target)
                enter(inner)
                let flow = try execute(loop.body.statements)
                if flow == .breaks { break }
                if flow == .goesOn { hasRun = true }
            }
        }
        inner.values = inner.values.map { _ in nil }
        // As in Jinja, a turn that ends with `continue` or `break` does not count as one.
        guard !hasRun, let otherwise = loop.otherwise else { return .goesOn }
        let other = newFrame(otherwise.scope, parent: parent)
        enter(other)
        return try within(other) { try execute(otherwise.statements) }
    }

    /// The elements that pass the test behind `if`, tested one by one as the loop asks for them.
    private func filtered(
        _ cursor: Jinja.Cursor, _ target: Jinja.Target, _ test: Jinja.Expression, _ scope: Int, _ parent: Jinja.Frame
    ) -> Jinja.Cursor {
        let inner = newFrame(scope, parent: parent)
        return Jinja.Cursor { [unowned self] in
            enter(inner)
            while let element = try cursor.next() {
                try charge(4)
                let isTrue = try within(inner) {
                    try assign(element, to: target)
                    return try evaluate(test).isTrue
                }
                if isTrue { return element }
            }
            return nil
        }
    }
}
