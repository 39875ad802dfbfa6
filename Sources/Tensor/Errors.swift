/// An argument of an operation that does not fit: names the operation, the argument, what was expected and what came.
public struct ShapeError: Error, CustomStringConvertible, Equatable, Sendable {
    /// The operation, e.g. `gated_delta_rule`.
    public let operation: String
    /// What is wrong and what would be right, e.g. `k has shape [2, 64, 4, 48] but …`.
    public let message: String

    /// An error of `operation`.
    public init(_ operation: String, _ message: String) {
        self.operation = operation
        self.message = message
    }

    /// `operation: message`
    public var description: String { "\(operation): \(message)" }
}

/// A device, library or allocation that is not to be had; the message says what to do.
public struct BackendError: Error, CustomStringConvertible, Equatable, Sendable {
    /// What failed and what to do about it, one sentence.
    public let message: String

    /// An error with its sentence.
    public init(_ message: String) {
        self.message = message
    }

    /// The sentence.
    public var description: String { message }
}

extension Tensor {
    /// Throws unless the tensor has this dtype and shape.
    package func require(_ operation: String, _ name: String, shape expected: Shape, dtype expectedType: DType? = nil)
        throws
    {
        guard shape == expected else {
            throw ShapeError(operation, "\(name) has shape \(shape), expected \(expected)")
        }
        if let expectedType, dtype != expectedType {
            throw ShapeError(operation, "\(name) is \(dtype.rawValue), expected \(expectedType.rawValue)")
        }
    }
}
