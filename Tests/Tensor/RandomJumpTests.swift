import GDNTensor
import Testing

@Suite struct RandomJumpTests {
    /// A jump of 2ⁿ is 2ⁿ numbers drawn.
    @Test(arguments: [0, 1, 5, 12]) func jumpEqualsDrawing(exponent: Int) {
        let start = Random(seed: 42)
        var drawn = start
        for _ in 0..<1 << exponent { _ = drawn.next() }
        #expect(RandomJump(exponent: exponent).applied(to: start) == drawn)
    }
}
