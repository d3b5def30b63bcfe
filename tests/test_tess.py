"""TESS: its local cross-entropy under autograd, its sums written out, its projections."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import spiking
from synaptrace.network import Network
from synaptrace.rules import Rule, build
from synaptrace.rules.waves import Waves
from test_stllr import NETWORKS, hidden, three_factors
from unrolled import Step, hidden_gradients, unrolled


def projections(sizes: list[int], square: bool) -> list[Tensor]:
    """M of each layer, one entry at a time."""
    matrices = []
    for d in sizes:
        m = torch.zeros(spiking.CLASSES, d, dtype=torch.float64)
        for c in range(spiking.CLASSES):
            frequency = 50 + (512 - 50) * c / (spiking.CLASSES - 1)
            for k in range(d):
                wave = math.sin(frequency * k)
                m[c, k] = (wave > 0) - (wave < 0) if square else wave
        matrices.append(m)
    return matrices


def shrunk(net: Network, i: int, out: Tensor) -> Tensor:
    """A p(s): 4×4 in the first layer, 1×1 in the last, of maps."""
    return F.adaptive_avg_pool2d(out, (4, 1)[i]).flatten(1) if out.dim() == 4 else out


def local_losses(net: Network, step: Step) -> list[Tensor]:
    """Each layer's own cross-entropy in one step."""
    rs = [shrunk(net, i, out) for i, out in enumerate(step.out)]
    matrices = projections([r.shape[1] for r in rs], square=True)
    return [
        F.cross_entropy(r @ m.t() / r.shape[1], spiking.labels())
        for r, m in zip(rs, matrices, strict=True)
    ]


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_autograd_of_the_local_loss(kind: str, reset: str) -> None:
    net = NETWORKS[kind](reset)
    rule, x = build(net, "tess", lambda_pre=0.0, a_post=0.0), spiking.events(net)
    found = hidden(spiking.gradients(rule, x))
    each = torch.stack([
        torch.stack(local_losses(net, step)) for step in unrolled(net, x, states=True, inputs=True)
    ])  # fmt: skip
    spiking.assert_same(found, hidden_gradients(net, each.sum()))
    assert torch.allclose(rule.losses[:-1], each.mean(0))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_sums_written_out(kind: str) -> None:
    net = NETWORKS[kind]()

    def errors(t: int, step: Step) -> list[Tensor]:
        pairs = zip(local_losses(net, step), step.spikes, strict=True)
        return [torch.autograd.grad(loss, s, retain_graph=True)[0] for loss, s in pairs]

    factors = {"lambda_pre": 0.5, "lambda_post": 0.2, "a_pre": 0.8, "a_post": 1.0}
    x = spiking.events(net)
    found = hidden(spiking.gradients(build(net, "tess", **factors), x))
    # A layer's error is its own, so that the judge may run the layers with their inputs attached.
    spiking.assert_same(found, three_factors(net, x, errors, *factors.values()))


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("name", ["tess", "lls"])
def test_computed_projections_are_the_kept_ones(kind: str, name: str) -> None:
    net = NETWORKS[kind]()
    x, (kept, computed) = spiking.events(net), (build(net, name), build(net, name, regenerate=True))
    expected = spiking.gradients(kept, x)
    for key, value in spiking.gradients(computed, x).items():
        assert torch.equal(value, expected[key]), key
    assert held(kept) - held(computed) == spiking.CLASSES * (13 if kind == "dense" else 5 * 16 + 4)
    assert kept.state_dict().keys() == computed.state_dict().keys() == set()


def held(rule: Rule) -> int:
    """Numbers beyond the state."""
    return sum(t.numel() for t in rule.tensors().get("auxiliary", []))


def test_single_precision_has_the_signs_of_double() -> None:
    signs = []
    for dtype in (torch.float32, torch.float64):
        net = spiking.st.mlp(1, [8192], 10).to(dtype)
        signs.append(
            torch.cat(list(Waves(net, 0, square=True, keep=False).waves(net.readout.weight)))
        )
    assert signs[0].dtype == torch.float32
    assert torch.equal(signs[0].double(), signs[1])
    naive = torch.sin(torch.outer(torch.linspace(50, 512, 10), torch.arange(8192.0)))
    assert not torch.equal(naive.sign(), signs[0]), "in single precision some would differ"


def test_a_map_is_averaged_finely_below_and_coarsely_above() -> None:
    net = spiking.st.conv([(3, ("none", 1))] * 4, in_shape=(1, 9, 9), classes=4)
    waves = [Waves(net, i, square=True, keep=False) for i in range(4)]
    assert [each.length // 3 for each in waves] == [16, 4, 4, 1]
