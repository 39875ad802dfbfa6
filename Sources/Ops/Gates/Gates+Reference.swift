/// The gates as written: `g = −exp(A_log) · softplus(a + dt_bias)`, `β = c σ(b)`.
///
/// Inputs a [.., HV], b [.., HV], A_log [HV], dt_bias [HV]; outputs g and β.
struct GatesReference: OperationReference {
    /// c: 1, or 2 where negative eigenvalues are allowed.
    var strength = 1.0

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let (a, b, aLog, dtBias) = (inputs[0], inputs[1], inputs[2], inputs[3])
        let heads = aLog.values.count
        var logDecay = ReferenceArray<S>(a.shape)
        var beta = ReferenceArray<S>(a.shape)
        for i in a.values.indices {
            let h = i % heads
            logDecay[i] = -S.exponential(aLog[h]) * S.softplus(a[i] + dtBias[h])
            beta[i] = S(strength) * S.sigmoid(b[i])
        }
        return [logDecay, beta]
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let (a, b, aLog, dtBias) = (inputs[0], inputs[1], inputs[2], inputs[3])
        let heads = aLog.values.count
        let logDecay = forward(inputs)[0]
        var (da, db) = (ReferenceArray<S>(a.shape), ReferenceArray<S>(a.shape))
        var (dALog, dDtBias) = (ReferenceArray<S>([heads]), ReferenceArray<S>([heads]))
        for i in a.values.indices {
            let h = i % heads
            // d softplus(x)/dx = σ(x)
            da[i] = -upstream[0][i] * S.exponential(aLog[h]) * S.sigmoid(a[i] + dtBias[h])
            dDtBias[h] += da[i]
            dALog[h] += upstream[0][i] * logDecay[i]
            db[i] = upstream[1][i] * S(strength) * S.sigmoid(b[i]) * S.sigmoid(-b[i])
        }
        return [da, db, dALog, dDtBias]
    }
}
