"""A confidence that means something: how sure a listening network may be, from what it hears.

A softmax knows the words of its training and nothing else: it is often as sure of what is none of
them. So a decision for the word y is as sure as the utterances of y that were learned are near,

    d = min over y's utterances u of ‖√c − √u‖      s = d (3 − softmax(m / T)_y) / 2
    p = σ((middle − s) / width)

m is the readout at the word's end. T is the temperature at which the log loss of such decisions on
validation is least (Guo et al., ICML 2017). c counts the spikes of the last layer's neurons during
the word, all of them and those of its beginning (`decide.Judge`); the square root evens out how
counts scatter. Where the softmax doubts, a word is up to half as far again. ``middle`` and
``width`` are a logistic regression of s: words of validation against what is none, each side
counting half, so p is how likely a sound is the word where every second one is one of the words.

RUN/calibration.safetensors    the counts u, and all else in its metadata

Everything here stands on validation; the test is heard by `synaptrace evaluate --streams` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from synaptrace.data.audio.features import Features
from synaptrace.errors import UserError
from synaptrace.keyword.alarms import Clip, Curve, Decision, curve, heard
from synaptrace.keyword.decide import Settings
from synaptrace.keyword.noise import noises
from synaptrace.network import Network

CONFIDENCE = 0.45
"""From which a calibrated network reports a word: as if a missed one cost a fifth more than a false
alarm."""
NOISES = 100
"""Pieces of noise that are heard, beside words."""
SCALE = 16
"""Roots of counts are kept in bytes, in steps of 1/16: up to 254 spikes of a neuron in a word."""


@dataclass(frozen=True)
class Calibration:
    """What makes a decision's confidence; it is the `decide.Judge` of its network."""

    temperature: float
    middle: float
    width: float
    known: Tensor
    """(N, 2 × neurons) uint8: `roots` of utterances that were learned from."""
    labels: Tensor
    """(N,) int64: their classes."""
    curve: Curve
    """False alarms and rejections."""
    basis: str = "validation"
    """What the curve's words are."""

    def __call__(self, logits: Tensor, counts: Tensor) -> tuple[int, float]:
        """The likeliest class and how sure it is, as `decide.Judge` says."""
        best, far = stretched(logits, counts, self.known, self.labels, self.temperature)
        return best, sure(far, self.middle, self.width)


def sure(far: float, middle: float, width: float) -> float:
    """The probability of a word as far as ``far``."""
    return float(torch.sigmoid(torch.tensor((middle - far) / width, dtype=torch.float64)))


def roots(counts: Tensor) -> Tensor:
    """Square roots of counts (2, neurons) in bytes, (2 × neurons,) uint8."""
    scaled = (SCALE * counts.float().clamp(min=0).sqrt()).round()
    return scaled.clamp(max=255).to(torch.uint8).flatten()


def stretched(
    logits: Tensor, counts: Tensor, known: Tensor, labels: Tensor, temperature: float
) -> tuple[int, float]:
    """The likeliest class, and s of the module's text, infinite where nothing of it is known.

    Args:
        known: `roots` (N, 2 × neurons) of utterances, and their ``labels`` (N,).
    """
    chances = (logits.double() / temperature).softmax(0)
    best = int(chances.argmax())
    own = known[labels == best]
    if not len(own):
        return best, float("inf")
    apart = (own.float() - roots(counts).float()) / SCALE
    return best, float(apart.square().sum(1).min().sqrt()) * (3 - float(chances[best])) / 2


def calibrate(
    net: Network, features: Features, classes: Sequence[str], learned: Sequence[Clip],
    spoken: Sequence[Clip], *, user: bool = False, others: Sequence[Clip] = (),
    settings: Settings | None = None, seed: int = 0, before: Calibration | None = None,
    old: Sequence[Clip] = (),
) -> Calibration:  # fmt: skip
    """Calibrate a network that listens.

    Args:
        learned: utterances that it was trained on, whose counts are kept.
        spoken: others of the same words, for validation.
        user: ``learned`` is one user's few utterances, and ``spoken`` isn't this user's: the words
            to calibrate on are ``learned`` itself, each measured against all but itself.
        others: recordings of what is none of the words, beside what is made.
        before: the calibration of the network that this one was fine-tuned from: its temperature,
            where only utterances that were learned could tell it, and its utterances are kept.
        old: utterances of before that are at hand, to be heard as they are now; of words that are
            none of theirs, those that ``before`` kept stay.

    Raises:
        UserError: features that don't stream, no decision on any word.
    """
    settings, names = settings or Settings(), list(classes)
    others = [*others, *(clip for clip in spoken if clip.word is None)]
    spoken = [clip for clip in spoken if clip.word is not None]
    if user:  # so that a clip has one number, whether it is learned or tested
        learned = [clip for clip in learned if clip.word is not None]

    def hear(clips: Sequence[Clip], turn: int) -> tuple[list[Decision], float]:
        return heard(net, features, classes, clips, settings, seed=seed + turn)

    known, labels, whose = utterances(hear(learned, 0)[0], learned, names)
    tests = learned if user else spoken
    words, hours = hear(tests, 1)
    words = [each for each in words if each.clip is not None]
    if not len(known) or not words:
        raise UserError("calibration: no word is heard in the data; is there sound in them?")
    more, extra = hear(spoken, 2) if user else ([], 0.0)
    if user and before is not None:
        temperature = before.temperature
    else:
        temperature = warmth(words, [_label(tests, each, names) for each in words])
    heard_old = utterances(hear(old, 4)[0], old, names)
    kept = [(*heard_old[:2], [None if n < 0 else old[n].voice for n in heard_old[2].tolist()])]
    if before is not None:
        unheard = ~torch.isin(before.labels, kept[0][1])
        left = before.known[unheard], before.labels[unheard]
        kept.append((*left, [None] * len(left[1])))
    voices: list[str | None] = [None] * len(labels)
    for some, theirs, said_by in kept:
        if some.shape[1] == known.shape[1]:
            known, labels = torch.cat([known, some]), torch.cat([labels, theirs])
            whose = torch.cat([whose, torch.full_like(theirs, -1)])
            voices += said_by
    found = []
    for each in words:
        apart = whose != torch.tensor(each.clip if user else -2)
        found.append(stretched(each.logits, each.counts, known[apart], labels[apart], temperature))
    own = unlearned(words, tests, names, known, labels, temperature)
    near = unlearned(more, spoken, names, known, labels, temperature)
    far = unlearned(more, spoken, names, known, labels, temperature, voices)
    rest, quiet = hear([*others, *noises(features.mel.rate, NOISES, seed)], 3)
    own += [stretched(r.logits, r.counts, known, labels, temperature) for r in rest]
    right = [s for each, (best, s) in zip(words, found, strict=True)
             if best == _label(tests, each, names)]  # fmt: skip
    middle, width = border(right, [s for _, s in [*own, *near]])

    def judged(best: int, s: float) -> tuple[str, float]:
        return names[best], round(sure(s, middle, width), 4)

    decided = []
    for each, one in zip(words, found, strict=True):
        label, probability = judged(*one)
        decided.append(each._replace(label=label, probability=probability))
    alarms = [judged(*one) for one in [*own, *far]]
    made = curve(tests, decided, alarms, hours + extra + quiet)
    basis = "the recordings that it learned from" if user else "validation"
    return Calibration(temperature, middle, width, known, labels, made, basis)


def measure(
    net: Network, features: Features, classes: Sequence[str], spoken: Sequence[Clip],
    calibration: Calibration, *, others: Sequence[Clip] = (), settings: Settings | None = None,
    seed: int = 0,
) -> Curve:  # fmt: skip
    """False rejections of words, over the false alarms of strangers.

    Args:
        spoken: recordings of the words.
        others: of what is none of them; without any, each of ``spoken`` as if its word had never
            been learned, and noise.
    """
    settings, names = settings or Settings(), list(classes)
    others = [*others, *(clip for clip in spoken if clip.word is None)]
    spoken = [clip for clip in spoken if clip.word is not None]
    words, hours = heard(net, features, classes, spoken, settings, calibration, seed)
    known, labels = calibration.known, calibration.labels
    strangers: list[tuple[str, float]] = []
    if others:
        hours = 0.0
    else:
        others = noises(features.mel.rate, NOISES, seed)
        for best, s in unlearned(words, spoken, names, known, labels, calibration.temperature):
            strangers.append((names[best], sure(s, calibration.middle, calibration.width)))
    rest, more = heard(net, features, classes, others, settings, calibration, seed + 1)
    strangers += [(each.label, each.probability) for each in rest]
    return curve(spoken, words, strangers, hours + more)


def unlearned(
    decisions: Sequence[Decision], clips: Sequence[Clip], names: list[str], known: Tensor,
    labels: Tensor, temperature: float, voices: Sequence[str | None] = (),
) -> list[tuple[int, float]]:  # fmt: skip
    """Decisions on words, each as if its word had never been learned, as `stretched` gives them.

    Args:
        voices: of ``known``, so that each decision is as if its voice had never been heard, too.
    """
    found = []
    for each in decisions:
        word = _label(clips, each, names)
        if word >= 0 and len(names) > 1:
            logits, other = each.logits.clone(), labels != word
            voice = None if each.clip is None else clips[each.clip].voice
            if voices and voice is not None:
                other &= torch.tensor([one != voice for one in voices])
            logits[word] = -torch.inf
            found.append(stretched(logits, each.counts, known[other], labels[other], temperature))
    return found


def utterances(
    decisions: Sequence[Decision], clips: Sequence[Clip], names: list[str]
) -> tuple[Tensor, Tensor, Tensor]:
    """`roots` (N, 2 × neurons) of the words decided on, their labels (N,) and clips (N,)."""
    some = [(each, label) for each in decisions if (label := _label(clips, each, names)) >= 0]
    if not some:
        return torch.empty(0, 0, dtype=torch.uint8), *torch.empty(2, 0, dtype=torch.int64)
    known = torch.stack([roots(each.counts) for each, _ in some])
    whose = [-1 if each.clip is None else each.clip for each, _ in some]
    return known, torch.tensor([label for _, label in some]), torch.tensor(whose)


def _label(clips: Sequence[Clip], each: Decision, names: list[str]) -> int:
    """The class of what was said where a decision was made; −1: nothing, or none of them."""
    word = None if each.clip is None else clips[each.clip].word
    return -1 if word is None else names.index(word)


def warmth(decisions: Sequence[Decision], labels: Sequence[int]) -> float:
    """The temperature at which the log loss of decisions is least, of 0.05 to 50."""
    spoken = [(each.logits, label) for each, label in zip(decisions, labels, strict=True)
              if label >= 0]  # fmt: skip
    if not spoken:
        return 1.0
    logits = torch.stack([one for one, _ in spoken]).double()
    wanted = torch.tensor([label for _, label in spoken])
    grid = torch.logspace(-1.3, 1.7, 301, dtype=torch.float64)
    losses = [float(torch.nn.functional.cross_entropy(logits / t, wanted)) for t in grid]
    return round(float(grid[losses.index(min(losses))]), 4)


def border(near: Sequence[float], far: Sequence[float]) -> tuple[float, float]:
    """The middle and the width of the logistic regression of words' and strangers' distances.

    Each side counts half. Without one of them, or where words aren't nearer, nothing is refused.
    """
    a, b = (torch.tensor([d for d in some if d < float("inf")], dtype=torch.float64)
            for some in (near, far))  # fmt: skip
    if not len(a) or not len(b) or a.mean() >= b.mean():
        return 1e6, 1.0
    both = torch.cat([a, b])
    mean, scale = float(both.mean()), max(float(both.std()), 1e-6)
    x = (both - mean) / scale
    side = torch.cat([torch.ones_like(a), torch.zeros_like(b)])
    share = torch.cat([torch.full_like(a, 0.5 / len(a)), torch.full_like(b, 0.5 / len(b))])
    fit = torch.tensor([-1.0, 0.0], dtype=torch.float64, requires_grad=True)
    steps = torch.optim.LBFGS([fit], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        steps.zero_grad()
        found = torch.nn.functional.binary_cross_entropy_with_logits(
            fit[0] * x + fit[1], side, weight=share, reduction="sum"
        )
        found = found + 1e-3 * fit[0].square()  # where they lie apart, the slope has no end
        torch.autograd.backward(found)
        return found

    with torch.enable_grad():
        steps.step(loss)  # type: ignore[no-untyped-call]
    slope, offset = fit.detach().tolist()
    slope = min(slope, -1e-3)
    return mean - scale * offset / slope, scale / -slope
