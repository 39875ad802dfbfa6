/// Why a chat template cannot be read or rendered, and where.
public struct ChatTemplateError: Error, CustomStringConvertible, Equatable, Sendable {
    /// What went wrong.
    public enum Kind: String, Sendable {
        /// The template breaks a rule of the language.
        case syntax
        /// The template uses a part of Jinja that is not here.
        case unsupported
        /// Something undefined was used for more than printing, testing or looping.
        case undefined
        /// A value has the wrong type or is out of range.
        case value
        /// The template itself refused, with `raise_exception`.
        case raised
        /// The template needs more work, depth or room than allowed.
        case limit
    }

    /// What went wrong.
    public let kind: Kind
    /// The template's name.
    public let template: String
    /// The line, counted from 1.
    public let line: Int
    /// The column in Unicode scalars, counted from 1.
    public let column: Int
    /// What went wrong, in words.
    public let message: String

    /// `name:line:column: message`
    public var description: String { "\(template):\(line):\(column): \(message)" }
}

/// The part of Jinja2 that chat templates use: lexer, parser, interpreter. A namespace.
enum Jinja {
    /// A place in a template, both counted from 1.
    struct Position: Sendable, Equatable {
        var line = 1
        var column = 1
    }

    /// An error before the template's name is added; without a position it is where the interpreter stands.
    struct Failure: Error {
        let kind: ChatTemplateError.Kind
        let message: String
        var position: Position?

        init(_ kind: ChatTemplateError.Kind, _ message: String, at position: Position? = nil) {
            self.kind = kind
            self.message = message
            self.position = position
        }

        func located(in template: String, at place: Position) -> ChatTemplateError {
            let position = position ?? place
            return ChatTemplateError(
                kind: kind, template: template, line: position.line, column: position.column, message: message)
        }
    }
}
