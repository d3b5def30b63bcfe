"""Parts of a batch that are told the whole batch: their gradients add up to the batch's."""

from typing import Any

import pytest
import torch
from torch import Tensor

from spiking import assert_same, conv, dense, events
from synaptrace import rules
from synaptrace.errors import UserError
from synaptrace.rules import Rule, turns

BATCH = 7
LABELS = torch.tensor([0, 3, 3, 1, 3, 0, 0])
"""Class 2 is missing, class 1 is in one part only."""
LENGTHS = torch.tensor([8, 3, 8, 5, 6, 2, 1])
"""The last part ends before the others."""
PARTS = ([slice(0, 3), slice(3, 5), slice(5, 7)], [slice(0, 1), slice(1, 7)])


def learn(
    rule: Rule, x: Tensor, cuts: list[slice] | None, lengths: Tensor | None
) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Gradients, logits and [losses, rates] of all parts; with None of the batch at once."""
    rule.net.zero_grad()
    rule.zero_grad()
    batch = None if cuts is None else (LABELS, lengths)
    logits, seen = [], []
    for cut in cuts or [slice(None)]:
        ends = None if lengths is None else lengths[cut]
        draws = torch.Generator().manual_seed(3)
        made = rule.sequence(x[:, cut], LABELS[cut], lengths=ends, batch=batch, generator=draws)
        logits.append(made)
        seen.append(torch.cat([rule.losses, rule.rates]))
    named = [*rule.net.named_parameters(), *rule.named_parameters()]
    gradients = {name: p.grad.clone() for name, p in named if p.grad is not None}
    return gradients, torch.cat(logits), torch.stack(seen).sum(0)


def compare(rule: Rule, lengths: Tensor | None) -> None:
    x = events(rule.net, batch=BATCH)
    whole, logits, seen = learn(rule, x, None, lengths)
    assert (seen[-len(rule.net.layers) :] > 0.02).all(), "a silent network proves nothing"
    for cuts in PARTS:
        found, same_logits, same_seen = learn(rule, x, cuts, lengths)
        assert_same({k: g for k, g in found.items() if whole[k].any()}, live(whole), 1e-12)
        torch.testing.assert_close(same_logits, logits, rtol=0, atol=1e-12)
        torch.testing.assert_close(same_seen, seen, rtol=1e-12, atol=1e-12)


def live(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in gradients.items() if gradient.any()}


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "lengths"])
@pytest.mark.parametrize("engine", ["torch", "native"])
@pytest.mark.parametrize("contrast", ["batch", "class"])
@pytest.mark.parametrize("kind", ["dense", "recurrent", "conv", "variant"])
def test_tp_learns_the_same_from_parts(
    kind: str, contrast: str, engine: str, lengths: Tensor | None
) -> None:
    options: dict[str, Any] = {"contrast": contrast, "engine": engine, "train_label": True}
    if kind == "variant":
        options |= {"eligibility": True, "temperature": "auto", "margin": 2.0}
    net = conv() if kind == "conv" else dense(7, 6, recurrent=kind == "recurrent")
    draws = torch.Generator().manual_seed(2)
    compare(rules.build(net, "tp", generator=draws, **options), lengths)


def test_blocks_of_rows_learn_the_same_from_parts() -> None:
    class Blocked(rules.find("tp")):  # type: ignore[misc]
        block = 2

    draws = torch.Generator().manual_seed(2)
    compare(Blocked(dense(7, 6), generator=draws, engine="torch"), LENGTHS)


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "lengths"])
@pytest.mark.parametrize("name", sorted(set(rules.NAMES) - {"tp", "espp", "decolle"}))
def test_every_rule_learns_the_same_from_parts(name: str, lengths: Tensor | None) -> None:
    compare(rules.build(dense(7, 6), name, generator=torch.Generator().manual_seed(2)), lengths)


def updated(name: str, every: int, cuts: list[slice] | None, **options: Any) -> dict[str, Tensor]:
    """Weights and sums of gradients after a batch that is learned with updates within it."""
    net = conv() if options.pop("maps", False) else dense(7, 6, recurrent=name == "tp")
    rule = rules.build(net, name, generator=torch.Generator().manual_seed(2), **options)
    named = [*net.named_parameters(), *rule.named_parameters()]
    trained = {key: p for key, p in named if p.requires_grad}
    optimizer = torch.optim.SGD(trained.values(), lr=0.3)
    updates = [0]
    optimizer.register_step_pre_hook(lambda *_: updates.__setitem__(0, updates[0] + 1))
    x, draws = events(net, batch=BATCH), torch.Generator().manual_seed(3)
    if cuts is None:
        logits = rule.sequence(x, LABELS, lengths=LENGTHS, optimizer=optimizer, every=every,
                               generator=draws)  # fmt: skip
        ran = [(rule, logits)]
    else:
        given = [turns.Part(x[:, cut], LABELS[cut], LENGTHS[cut]) for cut in cuts]
        ran = turns.sequence(rule, given, optimizer=optimizer, every=every, generator=draws,
                             batch=(LABELS, LENGTHS))  # fmt: skip
    assert updates == [-(-len(x) // every)]
    seen = torch.stack([torch.cat([one.losses, one.rates]) for one, _ in ran]).sum(0)
    assert (seen[-len(net.layers) :] > 0.02).all(), "a silent network proves nothing"
    found = {key: p.detach().clone() for key, p in trained.items()}
    return found | {"seen": seen, "logits": torch.cat([logits for _, logits in ran])}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in sorted(set(rules.NAMES) - {"tp", "espp", "decolle"})),
        *(("tp", {"engine": engine, "contrast": contrast, "maps": maps})
          for engine in ("torch", "auto") for contrast in ("batch", "class")
          for maps in (False, True)),
        ("tp", {"eligibility": True, "temperature": "auto", "train_label": True}),
        ("eprop", {"feedback": "adaptive"}),
        ("bptt", {"truncate": 2, "maps": True}),
    ],
)  # fmt: skip
def test_parts_take_turns_with_updates_within_the_sequence(
    name: str, options: dict[str, Any], every: int
) -> None:
    whole = updated(name, every, None, **options)
    assert_same(updated(name, every, PARTS[every == 1], **options), whole, 1e-12)


def test_counts_of_a_part_alone_give_something_else() -> None:
    """What the other tests would say if the batch weren't told."""
    rule = rules.build(dense(7, 6), "tp", generator=torch.Generator().manual_seed(2))
    x = events(rule.net, batch=BATCH)
    whole, _, _ = learn(rule, x, None, None)
    rule.net.zero_grad()
    for cut in PARTS[0]:
        rule.sequence(x[:, cut], LABELS[cut])
    assert not torch.allclose(rule.net.layers[0].weight.grad, whole["layers.0.weight"])


def test_a_part_goes_on_amid_a_sequence() -> None:
    """`batch` is state: a saved part knows it."""
    one, other = (
        rules.build(dense(7), "tp", generator=torch.Generator().manual_seed(2)) for _ in range(2)
    )
    x = events(one.net, batch=BATCH)
    one.start(LABELS[3:5], lengths=LENGTHS[3:5], batch=(LABELS, LENGTHS))
    for t in range(4):
        one.step(x[t, 3:5])
    other.load_state_dict(one.state_dict())
    one.net.zero_grad()
    for rule in (one, other):
        for t in range(4, 8):
            rule.step(x[t, 3:5])
    assert_same(*({"w": rule.net.layers[0].weight.grad} for rule in (one, other)), 0.0)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ((LABELS[:1], None), "can't hold"),
        ((LABELS, LENGTHS), "lengths are needed"),
        ((LABELS + 2, None), "don't fit a network"),
        ((LABELS * 0, None), "don't hold"),
        ((LABELS.float(), None), "batch: need"),
    ],
)
def test_a_batch_that_does_not_hold_its_part_is_refused(batch: Any, message: str) -> None:
    rule = rules.build(dense(), "tp")
    with pytest.raises(UserError, match=message):
        rule.start(LABELS[1:3], batch=batch)


def test_rules_that_see_more_than_labels_refuse_parts() -> None:
    for name, options in (("espp", {}), ("decolle", {"dropout": 0.5})):
        rule = rules.build(dense(7, 6), name, **options)
        with pytest.raises(UserError, match=f"{name}, as it is set, can't learn from parts"):
            rule.start(LABELS[:3], batch=(LABELS, None))
    compare(rules.build(dense(7, 6), "decolle", dropout=0.0), LENGTHS)
