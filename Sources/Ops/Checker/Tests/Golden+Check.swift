import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

/// The arguments of a fixture as variables of one backend.
struct GoldenInputs {
    let golden: Golden
    let cpu: CPUBackend
    private let variables: [String: Variable]

    init(_ golden: Golden, _ cpu: CPUBackend) throws {
        self.golden = golden
        self.cpu = cpu
        var variables: [String: Variable] = [:]
        for name in golden.names where name.hasPrefix("in.") && name != "in.cu_seqlens" {
            let tensor = cpu.tensor(try golden.floats(name), try golden.shape(name))
            variables[String(name.dropFirst(3))] = Variable(tensor, requiresGradient: true)
        }
        self.variables = variables
    }

    var names: [String] { variables.keys.sorted() }

    /// An argument that must be there.
    func callAsFunction(_ name: String) throws -> Variable { try #require(variables[name]) }

    /// An argument some cases lack.
    func optional(_ name: String) -> Variable? { variables[name] }

    /// Boundaries of packed sequences, where the case has them.
    func sequences() throws -> Tensor? {
        guard golden.has("in.cu_seqlens") else { return nil }
        let values = try golden.integers("in.cu_seqlens")
        return cpu.tensor(values, [values.count])
    }
}

/// Compares outputs and every gradient of a fixture with what `run` computes from its inputs.
///
/// `gates` gives the tolerances of the gradients of some inputs that have their own.
func checkGolden(
    _ name: String, tolerance: Double = 2e-6, gates: [String: Double] = [:],
    _ run: (Tape, GoldenInputs) throws -> [(name: String, output: Variable)]
) throws {
    let cpu = CPUBackend(poison: true)
    let golden = try Golden(name)
    let inputs = try GoldenInputs(golden, cpu)
    let tape = Tape(.cpu(cpu))
    let outputs = try run(tape, inputs)
    let expectedOutputs = Set(golden.names.filter { $0.hasPrefix("out.") })
    #expect(expectedOutputs == Set(outputs.map { "out.\($0.name)" }))
    for (output, variable) in outputs {
        let error = relativeError(variable.value.floatArray(), try golden.floats("out.\(output)"))
        #expect(error <= tolerance, "\(name) out.\(output): \(error)")
    }
    let upstream = try outputs.filter { golden.has("dout.\($0.name)") }.map { output, variable in
        (variable, cpu.tensor(try golden.floats("dout.\(output)"), variable.shape))
    }
    #expect(!upstream.isEmpty)
    try tape.backward(upstream.map(\.0), gradients: upstream.map(\.1))
    for input in inputs.names {
        let gradient = try #require(try inputs(input).gradient, "\(name): no gradient of \(input)")
        let error = relativeError(gradient.floatArray(), try golden.floats("grad.\(input)"))
        #expect(error <= gates[input] ?? tolerance, "\(name) grad.\(input): \(error)")
    }
}
