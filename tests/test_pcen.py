"""Per-channel energy normalisation: equations, librosa, streams, gains."""

import json
import os
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import sounds
from synaptrace.data.audio import wav
from synaptrace.data.audio.features import Features
from synaptrace.data.audio.mel import Mel, centre
from synaptrace.data.audio.pcen import Pcen
from synaptrace.data.audio.stream import causal_step
from synaptrace.errors import UserError

SPEECH = Mel(rate=8000, hop=20.0)


def noisy(count: int = 6) -> torch.Tensor:
    """Power (T, B, bands) of tones that begin late, in faint noise, in one second."""
    tones = [sounds.tone(300.0 + 400 * i, 0.4, 8000, seed=i) for i in range(count)]
    draws = torch.Generator().manual_seed(0)
    faint = [1e-3 * torch.randn(8000, generator=draws) for _ in tones]
    clips = [centre(tone, 8000) + hiss for tone, hiss in zip(tones, faint, strict=True)]
    return torch.stack([SPEECH.power(clip) for clip in clips], 1)


def trained(power: torch.Tensor, **constants: float) -> Features:
    return Features(SPEECH, "pcen", pcen=Pcen(**constants)).measured([power])


def change(features: Features, power: torch.Tensor, decibels: float) -> torch.Tensor:
    """How far a gain changes each clip's features, (B,), as a share of their norm."""
    plain, louder = features(power), features(power * 10 ** (decibels / 10))
    return (louder - plain).square().sum((0, 2)).sqrt() / plain.square().sum((0, 2)).sqrt()


@pytest.mark.parametrize("steps", [1, 2, 3, 50, 257])
def test_the_smoother_is_its_recursion(steps):
    draws = torch.Generator().manual_seed(steps)
    energy = torch.rand(steps, 3, 4, dtype=torch.float64, generator=draws).square()
    wanted = [energy[0]]
    for now in energy[1:]:
        wanted.append(0.96 * wanted[-1] + 0.04 * now)
    given = energy.clone()
    found = Pcen().smoother(energy)
    assert torch.equal(energy, given)
    torch.testing.assert_close(found, torch.stack(wanted), atol=0, rtol=1e-13)
    # Two roundings a frame of up to 2⁻²⁴, which the smoother forgets in 1 / s = 25 frames: 3e-6.
    torch.testing.assert_close(Pcen().smoother(energy.float()).double(), found, atol=0, rtol=3e-6)


def test_values_are_the_equation_s():
    pcen = Pcen(smoothing=0.5, alpha=0.5, delta=4.0, root=0.5, eps=1.0, scale=2.0)
    power = torch.tensor([[1.5], [4.0]], dtype=torch.float64)  # E = 3, 8; M = 3, 5.5
    found, state = pcen(power)
    wanted = [(3 / 4**0.5 + 4) ** 0.5 - 2, (8 / 6.5**0.5 + 4) ** 0.5 - 2]
    torch.testing.assert_close(found[:, 0], torch.tensor(wanted, dtype=torch.float64))
    assert state.tolist() == [5.5]


def test_it_is_librosa_s():
    librosa = pytest.importorskip("librosa", reason="needs librosa (synaptrace[datasets])")
    power, pcen = noisy()[:, 2].double(), Pcen()
    energy = (pcen.scale * power).T.numpy()
    start = 0.96 * energy[:, :1]  # which SciPy's filter takes for M before the first frame
    theirs = librosa.pcen(
        energy, b=0.04, gain=0.98, bias=2, power=0.05, eps=1e-6, zi=start, axis=-1
    )
    ours, _ = pcen(power)
    torch.testing.assert_close(ours, torch.from_numpy(theirs).T, atol=1e-9, rtol=1e-9)


def test_a_stream_gives_the_same_numbers_however_it_is_cut():
    power = noisy()
    whole, end = Pcen()(power)
    for cuts in ([0, 1, 50], [0, 17, 18, 40, 50], list(range(51))):
        state, parts = None, []
        for start, stop in pairwise(cuts):
            some, state = Pcen()(power[start:stop], state)
            parts.append(some)
        torch.testing.assert_close(torch.cat(parts), whole, atol=2e-6, rtol=1e-6)
        assert torch.equal(state, end)


@pytest.mark.parametrize("loudness", [1e-12, 1e-4, 1.0])
def test_sound_after_digital_silence_is_bounded(loudness):
    power = torch.zeros(50, 2, 40)
    assert (Pcen()(power)[0] == 0).all()
    power[10:] = loudness
    found, _ = Pcen(alpha=1.0, root=0.5)(power)
    assert (found[:10] == 0).all()
    assert 3.7 < found.max() <= 27**0.5 - 2**0.5 + 1e-5
    assert torch.equal(found.argmax(0), torch.full((2, 40), 10))


def test_before_the_first_frame_there_is_silence():
    features = Features(SPEECH, "pcen", mean=(0.0,) * 120, deviation=(1.0,) * 120)
    power = noisy()
    levels, first, second = features(power).split(40, -1)
    torch.testing.assert_close(levels, Pcen()(power)[0])
    torch.testing.assert_close(first[0], levels[0])
    torch.testing.assert_close(second[0], levels[0])
    torch.testing.assert_close(first[1:], levels.diff(dim=0))


@pytest.mark.parametrize("decibels", [-20, 20])
def test_a_gain_changes_nothing_with_alpha_1_and_little_as_it_is_used(decibels):
    power = noisy()
    assert change(trained(power, alpha=1.0), power, decibels).max() < 1e-4
    assert change(trained(power), power, decibels).max() < 0.08
    logs = Features(SPEECH, "causal").measured([power])
    assert change(logs, power, decibels).min() > 0.25  # the test can fail


@pytest.mark.skipif("SYNAPTRACE_TEST_DATA" not in os.environ, reason="needs SYNAPTRACE_TEST_DATA")
@pytest.mark.parametrize("decibels", [-20, 20])
def test_a_gain_changes_speech_as_little(decibels):
    files = sorted((Path(os.environ["SYNAPTRACE_TEST_DATA"]) / "fsdd").rglob("*.wav"))[::9]
    clips = [centre(wav.read(file, rate=8000)[0], 8000) for file in files]
    power = torch.stack([SPEECH.power(clip) for clip in clips], 1)
    exact = change(trained(power, alpha=1.0), power, decibels)
    used = change(trained(power), power, decibels)
    logs = change(Features(SPEECH, "causal").measured([power]), power, decibels)
    said = f"α = 1 {exact.mean():.5f}, α = 0.98 {used.mean():.3f}, causal {logs.mean():.3f}"
    print(f"{decibels:+} dB change features by {said} of their norm")
    assert exact.max() < 0.01
    assert used.max() < 0.08


def test_constants_go_along_with_a_network_and_older_ones_have_none():
    features = trained(noisy(), alpha=0.7, scale=10.0)
    spec = json.loads(json.dumps(features.spec))
    assert spec["pcen"] == {
        "smoothing": 0.04, "alpha": 0.7, "delta": 2.0, "root": 0.05, "eps": 1e-6, "scale": 10.0
    }  # fmt: skip
    assert Features.from_spec(spec) == features
    older = Features(SPEECH, "causal").spec
    assert older.keys() == {"mel", "form", "encoding", "threshold", "mean", "deviation"}
    assert Features.from_spec(older) == Features(SPEECH, "causal")


def test_a_stream_keeps_one_number_a_band_more():
    features = trained(noisy())
    _, state = causal_step(features, None, torch.randn(8000))
    assert state.smoother.shape == (40,)
    assert state.smoother.untyped_storage().nbytes() == 160
    _, none = causal_step(Features(SPEECH, "causal").measured([noisy()]), None, torch.zeros(800))
    assert none.smoother is None


@pytest.mark.parametrize(
    ("name", "value"), [("smoothing", 1.5), ("alpha", 0.0), ("eps", float("nan")), ("root", -1)]
)
def test_constants_out_of_range_are_refused(name, value):
    with pytest.raises(UserError, match=f"pcen: {name} "):
        Pcen(**{name: value})
