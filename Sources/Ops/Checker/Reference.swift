import GDNTensor

/// Numbers a reference can be evaluated in: Double as oracle, Float as the plain evaluation to compare errors with.
package protocol ReferenceScalar: BinaryFloatingPoint, Sendable {
    /// eˣ
    static func exponential(_ x: Self) -> Self
    /// ln x
    static func logarithm(_ x: Self) -> Self
    /// ln(1 + x)
    static func logarithmOfOnePlus(_ x: Self) -> Self
}

extension Double: ReferenceScalar {
    package static func exponential(_ x: Double) -> Double { exp(x) }
    package static func logarithm(_ x: Double) -> Double { log(x) }
    package static func logarithmOfOnePlus(_ x: Double) -> Double { log1p(x) }
}

extension Float: ReferenceScalar {
    package static func exponential(_ x: Float) -> Float { expf(x) }
    package static func logarithm(_ x: Float) -> Float { logf(x) }
    package static func logarithmOfOnePlus(_ x: Float) -> Float { log1pf(x) }
}

extension ReferenceScalar {
    /// 1 / (1 + e⁻ˣ)
    package static func sigmoid(_ x: Self) -> Self { 1 / (1 + exponential(-x)) }
    /// ln(1 + eˣ) without overflow
    package static func softplus(_ x: Self) -> Self { Swift.max(x, 0) + logarithmOfOnePlus(exponential(-abs(x))) }
}

/// A plain array with a shape, for references.
package struct ReferenceArray<Scalar: ReferenceScalar>: Sendable {
    /// Extents, outermost first.
    package let shape: [Int]
    /// Elements, row-major.
    package var values: [Scalar]

    /// Zeros.
    package init(_ shape: [Int]) {
        self.shape = shape
        values = Array(repeating: 0, count: shape.reduce(1, *))
    }

    /// These elements.
    package init(_ shape: [Int], _ values: [Scalar]) {
        precondition(values.count == shape.reduce(1, *))
        self.shape = shape
        self.values = values
    }

    /// The same elements as other scalars.
    package func converted<Other: ReferenceScalar>(_: Other.Type) -> ReferenceArray<Other> {
        ReferenceArray<Other>(shape, values.map { Other($0) })
    }

    /// Element by row-major position.
    package subscript(index: Int) -> Scalar {
        get { values[index] }
        set { values[index] = newValue }
    }

    /// Element of a matrix-like array.
    package subscript(i: Int, j: Int) -> Scalar {
        get { values[i * shape[1] + j] }
        set { values[i * shape[1] + j] = newValue }
    }

    /// Element of a three-dimensional array.
    package subscript(i: Int, j: Int, k: Int) -> Scalar {
        get { values[(i * shape[1] + j) * shape[2] + k] }
        set { values[(i * shape[1] + j) * shape[2] + k] = newValue }
    }

    /// Element of a four-dimensional array.
    package subscript(i: Int, j: Int, k: Int, l: Int) -> Scalar {
        get { values[((i * shape[1] + j) * shape[2] + k) * shape[3] + l] }
        set { values[((i * shape[1] + j) * shape[2] + k) * shape[3] + l] = newValue }
    }
}

/// An operation in its slow and obvious form, with hand-derived gradients: the oracle of every other form.
///
/// Conforming types mark both functions `@specialized` for Double and Float: called through `any OperationReference` they
/// are ten times slower without.
package protocol OperationReference: Sendable {
    /// Outputs from inputs. Integer inputs arrive as whole numbers.
    func forward<Scalar: ReferenceScalar>(_ inputs: [ReferenceArray<Scalar>]) -> [ReferenceArray<Scalar>]
    /// Gradients of Σ ⟨output, upstream⟩ with respect to the inputs; nil where an input has none.
    func gradients<Scalar: ReferenceScalar>(_ inputs: [ReferenceArray<Scalar>], _ upstream: [ReferenceArray<Scalar>])
        -> [ReferenceArray<Scalar>?]
    /// The same evaluation with the operands of products rounded to bfloat16; nil where no case needs it.
    var inBFloat16: (any OperationReference)? { get }
}

extension OperationReference {
    package var inBFloat16: (any OperationReference)? { nil }
}
