"""The neuron's step in its two forms: with a graph, and without."""

import pytest
import torch
from torch import Tensor

import synaptrace as st
from synaptrace.neuron import advance, fire, integrate, spike


def drawn(*shape: int) -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("adaptation", [0.0, 0.7])
def test_both_forms_of_the_step_are_the_equations(reset: str, adaptation: float) -> None:
    neuron = st.LIF(threshold=0.3, decay=0.8, reset=reset, adaptation=adaptation)  # type: ignore[arg-type]
    current, u, raised = drawn(3, 40, 50)
    a = raised.abs() if adaptation else None
    v = 0.8 * u + current
    distance = v - 0.3 - (adaptation * a if a is not None else 0.0)
    s = (distance >= 0).double()
    assert 0.1 < s.mean() < 0.9
    after = v - 0.3 * s if reset == "soft" else v * (1 - s)

    with_graph = advance(neuron, current, u, a)
    kept = current.clone()
    without = fire(neuron, kept, u, a=a, keep=True)
    for found in (with_graph, without):
        torch.testing.assert_close(found[0], after, rtol=0, atol=1e-14)
        assert torch.equal(found[1], s)
    torch.testing.assert_close(kept, v, rtol=0, atol=1e-14)
    torch.testing.assert_close(without[2], neuron.surrogate(distance), rtol=1e-12, atol=0)


def test_what_is_not_kept_is_the_same() -> None:
    neuron, (current, u) = st.LIF(threshold=0.3), drawn(2, 40, 50)
    thresholds = torch.full((40, 1), 0.3, dtype=torch.float64)
    kept = fire(neuron, current.clone(), u, keep=True)
    for threshold in (None, 0.3, thresholds):
        for one, other in zip(kept, fire(neuron, current.clone(), u, threshold), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-15)


def test_rows_have_thresholds_of_their_own() -> None:
    neuron, (current, u) = st.LIF(threshold=0.3), drawn(2, 40, 50)
    v = integrate(neuron, current, u, out=torch.empty_like(u))
    thresholds = torch.tensor([0.3, 0.9], dtype=torch.float64).repeat_interleave(20)[:, None]
    after, s, _ = fire(neuron, current, u, thresholds)
    assert torch.equal(s[:20], spike(neuron, v[:20]))
    assert torch.equal(s[20:], spike(neuron, v[20:], 0.9))
    assert not torch.equal(s[20:], spike(neuron, v[20:]))
    assert torch.equal(after, v - thresholds * s)


@pytest.mark.parametrize("detach", [True, False])
def test_the_step_carries_the_surrogate_back(detach: bool) -> None:
    neuron, (current, u) = st.LIF(threshold=0.3, decay=0.8), drawn(2, 4, 5)
    u.requires_grad_()
    after, s = advance(neuron, current, u, detach_reset=detach)
    (after + 2 * s).sum().backward()  # type: ignore[no-untyped-call]
    psi = neuron.surrogate((0.8 * u + current).detach() - 0.3)
    through_reset = 0.0 if detach else 0.3 * psi
    assert u.grad is not None
    torch.testing.assert_close(u.grad, 0.8 * (1 - through_reset + 2 * psi))
