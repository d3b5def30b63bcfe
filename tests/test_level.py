"""Features by the recent level: their equations, gains that change nothing, what a stream keeps."""

import json
import math
import os
from pathlib import Path

import pytest
import torch

import sounds
from synaptrace.data.audio import wav
from synaptrace.data.audio.features import Features
from synaptrace.data.audio.level import Follower
from synaptrace.data.audio.mel import Mel, centre
from synaptrace.data.audio.stream import causal_step
from synaptrace.errors import UserError

SPEECH = Mel(rate=8000, hop=20.0)


def tones() -> torch.Tensor:
    """Power (T, B, bands) of tones, one after the other, in one second of faint noise."""
    draws = torch.Generator().manual_seed(0)
    clips = []
    for i in range(6):
        clip = centre(sounds.tone(300.0 + 400 * i, 0.4, 8000, seed=i), 8000)
        clips.append(clip + 1e-3 * torch.randn(8000, generator=draws))
    return torch.stack([SPEECH.power(clip) for clip in clips], 1)


def change(features: Features, power: torch.Tensor, decibels: float) -> torch.Tensor:
    """How far a gain changes each clip's features, (B,), as a share of their norm."""
    plain, louder = features(power), features(power * 10 ** (decibels / 10))
    return (louder - plain).square().sum((0, 2)).sqrt() / plain.square().sum((0, 2)).sqrt()


def test_the_level_rises_at_once_and_falls_by_decibels_a_second():
    power = torch.tensor([[1e-3, 1e-2], [1e-6, 1e-5], [1.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    follower = Follower(fall=500.0, above=0.0, least=-60.0)  # 10 dB a frame of 20 ms
    level, state = follower(power, 20.0)
    torch.testing.assert_close(level[:, 0], torch.tensor([1e-2, 1e-3, 1.0, 0.1]).double())
    later, _ = follower(torch.zeros(9, 2, dtype=torch.float64), 20.0, state)
    assert later[0].item() == pytest.approx(1e-2)
    assert later[-1].item() == pytest.approx(1e-5, rel=0.02)  # the noise, not 1e-10


def test_the_level_is_above_the_noise_and_digital_silence_is_none():
    follower = Follower(fall=0.0, rise=500.0, above=20.0, least=-60.0)
    power = torch.tensor([0.0, 1e-5, 1e-5, 1e-2, 1e-2, 0.0])[:, None].double()
    level, state = follower(power, 20.0)
    wanted = torch.tensor([1e-6, 1e-3, 1e-3, 1e-2, 1e-1, 1e-1]).double()
    torch.testing.assert_close(level[:, 0], wanted)
    torch.testing.assert_close(state[1], torch.tensor([1e-3]).double())
    tiny = Follower(least=-200.0)(1e-9 * power, 20.0)[0]  # as if it were 90 dB quieter
    torch.testing.assert_close(tiny[1:], 1e-9 * Follower(least=-110.0)(power, 20.0)[0][1:])


def test_features_see_the_frames_before_by_the_present_level():
    features = Features(SPEECH, "relative", mean=(0.0,) * 120, deviation=(1.0,) * 120, floor=-50.0)
    power = tones().double()
    level, _ = features.level(power, 20.0)
    now, first, second = features(power).split(40, -1)
    at, frame = 20, power[18:21] / level[20] + 1e-5
    torch.testing.assert_close(now[at], frame[2].log())
    torch.testing.assert_close(first[at], (frame[2] / frame[1]).log())
    torch.testing.assert_close(second[at], (frame[2] * frame[0] / frame[1] ** 2).log())
    assert now.max() <= 1e-5
    # Before the sound there is silence.
    torch.testing.assert_close(first[0], now[0] - math.log(1e-5))


@pytest.mark.parametrize("decibels", [-20, 20])
def test_a_gain_changes_nothing(decibels):
    power = tones()
    assert change(Features(SPEECH, "relative").measured([power]), power, decibels).max() < 1e-4
    logs = Features(SPEECH, "causal").measured([power])
    assert change(logs, power, decibels).min() > 0.25  # the test can fail


@pytest.mark.skipif("SYNAPTRACE_TEST_DATA" not in os.environ, reason="needs SYNAPTRACE_TEST_DATA")
@pytest.mark.parametrize("decibels", [-20, 20])
def test_a_gain_changes_speech_by_less_than_a_hundredth(decibels):
    files = sorted((Path(os.environ["SYNAPTRACE_TEST_DATA"]) / "fsdd").rglob("*.wav"))[::19]
    clips = [centre(wav.read(file, rate=8000)[0], 8000) for file in files]
    power = torch.stack([SPEECH.power(clip) for clip in clips], 1)
    assert len(clips) > 100
    found = change(Features(SPEECH, "relative", floor=-50.0).measured([power]), power, decibels)
    assert found.max() < 0.01


def test_constants_go_along_with_a_network_and_older_ones_have_none():
    features = Features(SPEECH, "relative", level=Follower(5.0, 1.0, 20.0, -90.0)).measured(
        [tones()]
    )
    spec = json.loads(json.dumps(features.spec))
    assert spec["level"] == {"fall": 5.0, "rise": 1.0, "above": 20.0, "least": -90.0}
    assert Features.from_spec(spec) == features
    assert "level" not in Features(SPEECH, "causal").spec
    with pytest.raises(UserError, match="features: not those"):
        Features.from_spec(spec | {"level": {"sinks": 1.0}})


def test_a_stream_keeps_two_numbers_more_and_the_level_stays_from_word_to_word():
    features = Features(SPEECH, "relative", mean=(0.0,) * 120, deviation=(1.0,) * 120)
    loud, pause = sounds.tone(500.0, 0.5, 8000), torch.zeros(4000)
    _, state = causal_step(features, None, torch.cat([loud, pause]))
    assert state.smoother.shape == (2, 1)
    again, _ = causal_step(features, state, loud / 30)
    fresh, _ = causal_step(features, None, loud / 30)
    # The level has fallen by 15 dB since the loud word's middle, and this word is 30 dB quieter.
    apart = (fresh[10:14, :40] - again[10:14, :40]).amax(1) / math.log(10) * 10
    assert (apart > 10).all()
    assert (apart < 20).all()


@pytest.mark.parametrize("constants", [{"fall": -1.0}, {"above": math.nan}, {"least": 1.0}])
def test_constants_out_of_range_are_refused(constants):
    with pytest.raises(UserError, match="level: "):
        Follower(**constants)
