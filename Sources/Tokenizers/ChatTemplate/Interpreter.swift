import GDNTensor

extension Jinja {
    /// The values of one scope's variables. Lives as long as a macro that was made in it.
    final class Frame {
        let parent: Frame?
        let layout: Layout
        var values: [Value?]

        init(_ layout: Layout, parent: Frame?) {
            self.layout = layout
            self.parent = parent
            values = Array(repeating: nil, count: layout.loads.count)
        }

        func find(_ name: Name) -> Value? {
            var frame: Frame? = self
            while let here = frame {
                if let place = here.layout.places[name] { return here.values[place] }
                frame = here.parent
            }
            return nil
        }

        func set(_ name: Name, _ value: Value?) {
            if let place = layout.places[name] { values[place] = value } else { parent?.set(name, value) }
        }
    }

    /// A macro, and the scope it was made in.
    final class Macro {
        let statement: MacroStatement
        var frame: Frame?

        init(_ statement: MacroStatement, in frame: Frame) {
            self.statement = statement
            self.frame = frame
        }
    }

    /// How a statement ended.
    enum Flow { case goesOn, breaks, continues }

    /// Runs a template once.
    final class Interpreter {
        /// How deeply expressions, statements and calls may be inside each other when the template runs.
        static let deepest = 400

        let program: Program
        let seconds: Int
        let globals: [String: Value]
        private(set) var remaining: Int
        private var depth = 0
        var position = Position()
        var frame: Frame
        var output: [Unicode.Scalar] = []
        /// What templates can tie into circles; taken apart at the end.
        private var namespaces: [Namespace] = []
        private var macros: [Macro] = []

        init(_ program: Program, variables: [String: Value], work: Int, seconds: Int) {
            self.program = program
            self.seconds = seconds
            remaining = work
            var globals: [String: Value] = [
                "range": .function(.range), "namespace": .function(.namespace), "dict": .function(.dict),
                "raise_exception": .function(.raiseException), "strftime_now": .function(.strftimeNow),
            ]
            globals.merge(variables) { $1 }
            self.globals = globals
            frame = Frame(program.layouts[0], parent: nil)
        }

        func run() throws -> String {
            defer { takeApart() }
            enter(frame)
            _ = try execute(program.statements)
            return Text(output).string
        }

        // MARK: Bounds

        /// Counts work: about one unit a scalar copied or an element looked at.
        func charge(_ units: Int) throws {
            remaining -= min(units, remaining + 1)
            if remaining < 0 { throw Failure(.limit, "the template needs more work than allowed") }
        }

        /// Runs `body` one level deeper.
        func nested<Result>(_ body: () throws -> Result) throws -> Result {
            guard depth < Self.deepest else {
                throw Failure(.limit, "the template runs more than \(Self.deepest) levels deep")
            }
            depth += 1
            defer { depth -= 1 }
            return try body()
        }

        // MARK: Scopes

        func enter(_ frame: Frame) {
            for (place, (name, load)) in frame.layout.loads.enumerated() {
                switch load {
                case .parameter: break
                case .missing: frame.values[place] = nil
                case .resolve: frame.values[place] = globals[program.names[name]]
                case .outer: frame.values[place] = frame.parent?.find(name)
                }
            }
        }

        /// Runs `body` in a scope, in the scope around otherwise.
        func within<Result>(_ inner: Frame, _ body: () throws -> Result) throws -> Result {
            let outer = frame
            frame = inner
            defer { frame = outer }
            return try body()
        }

        /// The text that `body` writes.
        func captured(_ body: () throws -> Void) throws -> Text {
            let outer = output
            output = []
            defer { output = outer }
            try body()
            return Text(output)
        }

        func newFrame(_ scope: Int, parent: Frame? = nil) -> Frame {
            Frame(program.layouts[scope], parent: parent ?? frame)
        }

        func newMacro(_ statement: MacroStatement) throws -> Macro {
            try charge(16)
            let macro = Macro(statement, in: frame)
            macros.append(macro)
            return macro
        }

        func newNamespace() throws -> Namespace {
            try charge(16)
            let namespace = Namespace()
            namespaces.append(namespace)
            return namespace
        }

        private func takeApart() {
            for namespace in namespaces { namespace.clear() }
            for macro in macros { macro.frame = nil }
        }
    }
}
