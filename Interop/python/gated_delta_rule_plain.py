"""The gated delta rule token by token in PyTorch, on any device: the float64 recurrence that kernels are compared with,
and the yardstick of ill-conditioned cases.

usage: python gated_delta_rule_plain.py      the yardstick's budgets on a CPU, three draws of each correlated case
"""
import torch


def draw(B, T, H, HV, K, V, dtype, decay="usual", beta_scale=1.0, N=None, seed=0, device="cuda"):
    torch.manual_seed(seed)
    normal = lambda *s: torch.randn(*s, device=device, dtype=torch.float64)
    q, k = (torch.nn.functional.normalize(normal(B, T, H, K), dim=-1).to(dtype) for _ in range(2))
    v = normal(B, T, HV, V).to(dtype)
    if decay == "usual":
        g = torch.nn.functional.logsigmoid(normal(B, T, HV) + 3)
    elif decay == "strong":
        g = -16 * torch.nn.functional.softplus(3 * normal(B, T, HV) - 3)
    else:
        g = torch.zeros(B, T, HV, device=device, dtype=torch.float64)
    beta = beta_scale * torch.sigmoid(normal(B, T, HV))
    if decay == "correlated":  # keys nearly equal, β near 2: ill-conditioned
        q, k = (normal(B, T, H, K) * K ** -0.5).to(dtype), ((0.99 + 0.1 * normal(B, T, H, K)) * K ** -0.5).to(dtype)
        beta = 1.9 + 0.09 * torch.rand(B, T, HV, device=device, dtype=torch.float64)
    h0 = 0.3 * normal(N or B, HV, K, V)
    return q, k, v, g.float(), beta.float(), h0.float()


def naive(q, k, v, g, beta, h0, cu, scale, erases=True):
    """The recurrence, token by token, in the precision of its arguments."""
    B, T, H, K = q.shape
    HV, V = v.shape[2:]
    q, k = q.repeat_interleave(HV // H, 2), k.repeat_interleave(HV // H, 2)
    bounds = cu.tolist() if cu is not None else None
    outs, finals = [], []
    sequences = [(b, 0, T) for b in range(B)] if bounds is None else [
        (0, bounds[i], bounds[i + 1]) for i in range(len(bounds) - 1)]
    for n, (b, start, end) in enumerate(sequences):
        S = h0[n]
        for t in range(start, end):
            S = S * g[b, t].exp()[:, None, None]
            u = beta[b, t][:, None] * (v[b, t] - torch.einsum("hk,hkv->hv", k[b, t], S) if erases else v[b, t])
            S = S + torch.einsum("hk,hv->hkv", k[b, t], u)
            outs.append(scale * torch.einsum("hk,hkv->hv", q[b, t], S))
        finals.append(S)
    return torch.stack(outs).reshape(B, T, HV, V), torch.stack(finals)


def bfloat16(x):
    return x.bfloat16().to(x.dtype)


def plain(q, k, v, g, beta, h0, do, dht, scale, operand=bfloat16):
    """Outputs and gradients of the recurrence in the precision of its arguments, with `operand` applied to what enters
    a product from the state, the errors and their gradients: the reference of the Swift checker
    (GatedDeltaRule+Reference.swift, `roundsOperands`), line by line. Sums and the state are not rounded.

    [B, T, H, K] tensors, no packed sequences. Returns o, ht, dq, dk, dv, dg, dbeta, dh0.
    """
    B, T, H, K = q.shape
    HV, groups = v.shape[2], v.shape[2] // H
    q, k = q.repeat_interleave(groups, 2), k.repeat_interleave(groups, 2)
    S, states, errors, o = h0, [h0], [], []
    for t in range(T):
        decayed = S * g[:, t].exp()[..., None, None]
        e = v[:, t] - torch.einsum("bhk,bhkv->bhv", k[:, t], operand(decayed))
        S = decayed + torch.einsum("bhk,bhv->bhkv", k[:, t] * beta[:, t, :, None], operand(e))
        o.append(torch.einsum("bhk,bhkv->bhv", scale * q[:, t], operand(S)))
        states.append(S)
        errors.append(e)
    dS, dq, dk, dv, dg, dbeta = dht, [], [], [], [], []
    for t in reversed(range(T)):
        alpha, b = g[:, t].exp()[..., None, None], beta[:, t, :, None]
        # o = K^-1/2 Sᵀq
        dq.append(scale * torch.einsum("bhkv,bhv->bhk", operand(states[t + 1]), do[:, t]))
        dS = dS + torch.einsum("bhk,bhv->bhkv", scale * q[:, t], do[:, t])
        # S ← S + k uᵀ,  u = β e
        du = torch.einsum("bhkv,bhk->bhv", operand(dS), k[:, t])
        key = b * torch.einsum("bhkv,bhv->bhk", operand(dS), operand(errors[t]))
        dbeta.append((du * errors[t]).sum(-1))
        dv.append(b * du)
        # e = v − α Sᵀk
        decayed = alpha * states[t]
        dk.append(key - torch.einsum("bhkv,bhv->bhk", operand(decayed), b * operand(du)))
        dS = dS - torch.einsum("bhk,bhv->bhkv", k[:, t] * b, operand(du))
        # S ← α S
        dg.append((dS * decayed).sum((-1, -2)))
        dS = alpha * dS
    backward = lambda parts: torch.stack(parts[::-1], 1)
    of_keys = lambda parts: backward(parts).unflatten(2, (H, groups)).sum(3)
    return (torch.stack(o, 1), S, of_keys(dq), of_keys(dk), backward(dv), backward(dg), backward(dbeta), dS)


def relative_error(ours, exact):
    return ((ours.double() - exact).norm() / exact.norm().clamp_min(1e-30)).item()


NAMES = ("o", "ht", "dq", "dk", "dv", "dg", "dbeta", "dh0")


def yardstick(ins, do, dht, scale, exact):
    """Budgets of one draw: twice (gradients: three times) the error of the plain recurrence in float32 with operands
    rounded to bfloat16, on the same inputs; `exact` in the order of NAMES."""
    results = plain(*(x.float() for x in ins), do.float(), dht.float(), scale)
    return {name: (2 if name in ("o", "ht") else 3) * relative_error(ours, other) + 1e-7
            for name, ours, other in zip(NAMES, results, exact)}


def main():
    for K in (32, 128):
        for seed in range(3):
            ins = draw(1, 130, 1, 1, K, K, torch.bfloat16, "correlated", seed=seed, device="cpu")
            double = [x.double().requires_grad_() for x in ins]
            o, ht = naive(*double, None, K ** -0.5)
            do, dht = torch.randn_like(o).bfloat16(), torch.randn_like(ht).float()
            grads = torch.autograd.grad((o * do.double()).sum() + (ht * dht.double()).sum(), double)
            exact = (o.detach(), ht.detach(), *grads)
            unrounded = plain(*(x.detach() for x in double), do.double(), dht.double(), K ** -0.5, operand=lambda x: x)
            agreement = max(relative_error(a, b) for a, b in zip(unrounded, exact))
            budgets = yardstick(ins, do, dht, K ** -0.5, exact)
            print(f"K = V = {K}, seed {seed}: by hand against autograd, float64 {agreement:.0e}; budgets",
                  " ".join(f"{name} {budget:.1e}" for name, budget in budgets.items()))


if __name__ == "__main__":
    main()
