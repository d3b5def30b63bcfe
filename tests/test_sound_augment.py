"""Augmentation of sound: what each option does, seeded, and nothing where it is off."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import sounds
from synaptrace import data
from synaptrace.config import resolve
from synaptrace.data.audio.augment import RANGE, Augmentation, disturb, stretch, warp
from synaptrace.data.audio.clips import jitter
from synaptrace.data.audio.mel import Mel
from synaptrace.data.sets import folder, fsdd
from synaptrace.errors import UserError
from synaptrace.keyword import own_words
from synaptrace.sections import AUGMENT
from synaptrace.seeds import generator

MEL = Mel(rate=8000, hop=20.0)
OPTIONS = {
    "gain": 12.0, "channel": 6.0, "snr": 10.0, "warp": 0.2, "mask_bands": 8, "mask_steps": 10,
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return sounds.fsdd(tmp_path_factory.mktemp("fsdd"), range(0, 12), "ann bob")


def clips(pitches: list[float]) -> torch.Tensor:
    """Power (T, B, bands) of a second of each tone."""
    return torch.stack([MEL.power(sounds.tone(pitch, 1.0, 8000)) for pitch in pitches], 1)


MANY = clips([300.0, 900.0]).repeat(1, 200, 1)


def test_a_gain_moves_every_log_of_a_clip_by_one_number_of_decibels():
    louder = Augmentation(gain=12.0).of_power(MANY, generator(0), MEL)
    moved = 10 * (louder / MANY).log10()
    torch.testing.assert_close(moved, moved[:1, :, :1].expand_as(moved), atol=1e-4, rtol=0)
    decibels = moved[0, :, 0]
    wanted = 12 * (2 * torch.rand(400, generator=generator(0)) - 1)
    torch.testing.assert_close(decibels, wanted, atol=1e-4, rtol=1e-4)
    assert -12 <= decibels.min() < -10 < 10 < decibels.max() <= 12


def test_a_channel_is_a_smooth_curve_over_the_bands_for_all_of_a_clip():
    heard = Augmentation(channel=6.0).of_power(MANY, generator(0), MEL)
    moved = 10 * (heard / MANY).log10()
    torch.testing.assert_close(moved, moved[:1].expand_as(moved), atol=1e-4, rtol=0)
    curves = moved[0]  # (clips, bands)
    assert abs(float(curves.square().mean().sqrt()) - 6.0) < 0.5
    assert curves.mean(1).abs().max() < 1e-3  # no gain
    assert curves.diff(dim=1).abs().mean() < 0.3 * curves.abs().mean()
    assert curves.std(0).min() > 2.0  # each clip's is another


def test_noise_has_the_ratio_that_was_drawn():
    power = MANY
    noise = Augmentation(snr=5.0).of_power(power, generator(0), MEL) - power
    ratio = 10 * (power.mean((0, 2)) / noise.mean((0, 2))).log10()
    wanted = 5 + RANGE * torch.rand(400, generator=generator(0))
    torch.testing.assert_close(ratio, wanted, atol=0.05, rtol=0)
    assert 5 <= ratio.min() < 7 < 33 < ratio.max() <= 35
    exact = disturb(power, MEL, wanted, generator(0))
    assert (exact >= 0).all()
    found = 10 * (power.mean((0, 2)) / exact.mean((0, 2))).log10()
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)


def test_noise_fluctuates_as_that_of_sound_does_and_has_a_tilt_of_its_own():
    power = torch.ones(500, 40, 40)
    noise = disturb(power, MEL, torch.zeros(40), generator(0))
    draws = generator(0, "white")
    white = torch.stack([MEL.power(torch.randn(80_000, generator=draws)) for _ in range(4)])
    real = white.std(1) / white.mean(1)
    ours = noise.std(0) / noise.mean(0)
    torch.testing.assert_close(ours.mean(0), real.mean(0), atol=0.1, rtol=0.3)
    spectrum = noise.mean(0).log() - white.mean((0, 1)).log()
    logs = (MEL.corners[1:-1] / MEL.high).log().float()
    slopes = [float(np.polyfit(logs.numpy(), each.numpy(), 1)[0]) for each in spectrum]
    assert -2.1 < min(slopes) < -1.5 < 0.5 < max(slopes) < 1.1


def test_silence_stays_silent_in_noise():
    silent = torch.zeros(50, 3, 40)
    assert (Augmentation(snr=0.0, gain=6.0).of_power(silent, generator(0), MEL) == 0).all()


def test_a_warp_of_factor_1_changes_nothing():
    power = clips([300.0, 900.0, 2500.0])
    torch.testing.assert_close(warp(power, MEL, torch.ones(3)), power, atol=0, rtol=1e-6)


@pytest.mark.parametrize("factor", [0.8, 0.9, 1.1, 1.25])
def test_a_warp_moves_a_peak_to_its_frequency_times_the_factor(factor):
    pitches = [400.0, 800.0, 1600.0, 2400.0]
    warped = warp(clips(pitches), MEL, torch.full((4,), factor))[10]
    centres = MEL.corners[1:-1].float()
    for pitch, before, after in zip(pitches, clips(pitches)[10], warped, strict=True):
        from_, to = ((centres * each).sum() / each.sum() for each in (before, after))
        assert abs(from_ / pitch - 1) < 0.05
        assert abs(to / from_ / factor - 1) < 0.03


@pytest.mark.parametrize("factor", [0.7, 1.3])
def test_a_warp_keeps_the_top_and_the_order(factor):
    centres = MEL.corners[1:-1].float()
    source = warp(centres.expand(1, 1, -1), MEL, torch.tensor([factor]))[0, 0]
    assert (source.diff() >= 0).all()
    assert source[-1] > 0.93 * centres[-1]


def test_each_clip_is_warped_by_its_own_factor():
    power = clips([900.0] * 3)
    factors = torch.tensor([0.9, 1.0, 1.2])
    together = warp(power, MEL, factors)
    for i, factor in enumerate(factors):
        alone = warp(power[:, i : i + 1], MEL, factor[None])
        torch.testing.assert_close(together[:, i : i + 1], alone)


def test_masks_are_stretches_of_every_length_and_place():
    hidden = stretch(4000, 10, 3, generator(0))
    widths = hidden.sum(1)
    assert widths.bincount().tolist() == pytest.approx([1000] * 4, rel=0.1)
    assert (hidden.int().diff(dim=1).abs().sum(1) <= 2).all()
    assert hidden[:, 0].any()
    assert hidden[:, -1].any()
    whole = stretch(100, 10, 10, generator(0))
    assert whole.all(1).any()


def test_masks_hide_the_same_bands_of_value_and_differences_and_whole_frames():
    events = torch.ones(50, 64, 120)
    bands = Augmentation(mask_bands=8).of_events(events, generator(0), 40, True)
    value, first, second = (bands == 0).split(40, -1)
    assert torch.equal(value, first)
    assert torch.equal(value, second)
    assert torch.equal(value, value[:1].expand_as(value))
    assert set(value[0].sum(1).tolist()) == set(range(9))
    steps = Augmentation(mask_steps=10).of_events(events, generator(0), 40, True) == 0
    assert torch.equal(steps, steps[..., :1].expand_as(steps))
    assert set(steps[..., 0].sum(0).tolist()) == set(range(11))
    counts = Augmentation(mask_bands=8).of_events(torch.ones(50, 4, 80), generator(0), 40, False)
    assert torch.equal(counts[..., :40], counts[..., 40:])


@pytest.mark.parametrize("form", ["clip", "causal", "pcen"])
@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_is_seeded_and_changes_training_alone(digits, name, form):
    plain = fsdd.load(path=digits, form=form, shift=0, noise=0.0)
    found = fsdd.load(path=digits, form=form, shift=0, noise=0.0, **{name: OPTIONS[name]})
    first, again = (next(iter(found.batches("train", generator(3))))[0] for _ in range(2))
    other = next(iter(plain.batches("train", generator(3))))[0]
    assert first.shape == other.shape == (50, 16, 120)
    assert first.isfinite().all()
    assert torch.equal(first, again)
    if (name, form) == ("gain", "clip"):  # which knows no loudness
        torch.testing.assert_close(first, other, atol=0.05, rtol=0)
    else:
        assert not torch.isclose(first, other, atol=0.05).all()
    for split in ("train", "validation", "test"):
        pairs = zip(found.batches(split), plain.batches(split), strict=True)
        assert all(torch.equal(ours[0], theirs[0]) for ours, theirs in pairs)
    assert found.meta.features == plain.meta.features


def test_what_is_off_draws_nothing_and_changes_no_bit(digits):
    found = fsdd.load(path=digits)
    draws = generator(5)
    rows = found.index["train"][torch.randperm(len(found.index["train"]), generator=draws)][:16]
    events = found.transform(found.frames[rows].transpose(0, 1))
    wanted = jitter(events, draws, frames=4, noise=0.4)
    assert torch.equal(next(iter(found.batches("train", generator(5))))[0], wanted)
    off = fsdd.load(path=digits, shift=0, noise=0.0)
    assert off.augment is None
    assert off.augment_frames is None


def test_settings_that_are_off_leave_a_run_s_hash_alone():
    plain = resolve(preset="fsdd")
    assert not plain.data.keys() & set(AUGMENT)
    off = {"data.gain": "0", "data.snr": "null", "data.warp": "0.0", "data.mask_bands": "0"}
    assert resolve(preset="fsdd", overrides=off) == plain
    on = resolve(preset="fsdd", overrides={"data.gain": "6", "data.snr": "5"})
    assert (on.data["gain"], on.data["snr"]) == (6.0, 5.0)
    for name in ("folder", "fsdd", "speechcommands"):
        assert set(AUGMENT) < data.options(name).keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gain", -1.0), ("gain", math.inf), ("snr", 1e9), ("warp", 0.6), ("warp", -0.1),
        ("mask_bands", 41), ("mask_bands", -1), ("mask_steps", 51), ("mask_steps", "many"),
    ],
)  # fmt: skip
def test_options_out_of_range_are_named(digits, name, value):
    with pytest.raises(UserError, match=rf"^data\.{name}: "):
        data.load("fsdd", path=digits, **{name: value})


def test_one_band_can_not_be_warped(digits):
    with pytest.raises(UserError, match=r"^data\.warp: a single band"):
        fsdd.load(path=digits, bands=1, warp=0.1)


def test_events_take_no_option_of_sound(tmp_path):
    for label in ("left", "right"):
        (tmp_path / "events" / label).mkdir(parents=True)
        for take in range(5):
            draws = np.random.default_rng(take)
            t = np.sort(draws.integers(0, 30_000, 50))
            array = np.stack([t, draws.integers(0, 8, 50), draws.integers(0, 6, 50), t % 2], 1)
            np.save(tmp_path / "events" / label / f"{take}.npy", array)
    options = {"path": tmp_path / "events", "rows": 6, "columns": 8}
    assert folder.load(**options, gain=0.0).meta.classes == ("left", "right")
    with pytest.raises(UserError, match=r"data\.gain: for sound, and these are events"):
        folder.load(**options, gain=3.0)


def test_one_s_own_recordings_are_augmented_as_the_run_s_data_were(digits, tmp_path):
    trained = fsdd.load(path=digits, form="pcen")
    for word, pitch in (("no", 300.0), ("yes", 900.0)):
        for take in range(5):
            tone = sounds.tone(pitch + take, 0.4, 16000, seed=take)
            sounds.write(tmp_path / "own" / word / f"{take}.wav", tone, 16000)
    settings = {"seconds": 1.0, "shift": 2, "noise": 0.1, "gain": 12.0, "mask_bands": 4}
    run = SimpleNamespace(
        run=tmp_path, features=trained.meta.features, config=SimpleNamespace(data=settings)
    )
    own = own_words.recordings(tmp_path / "own", run)
    assert own.meta.features["form"] == "pcen"
    assert own.augment_frames.func.__self__ == Augmentation(2, 0.1, 12.0, mask_bands=4)
    joined = own_words.joined(own, own, [0, 1])
    assert (joined.augment, joined.augment_frames) == (own.augment, own.augment_frames)
