"""Features of sound: bands, the two forms, and a stream that gives what the whole clip gives."""

import json
import math

import pytest
import torch

import sounds
from synaptrace.data.audio.features import Features
from synaptrace.data.audio.mel import Mel, centre
from synaptrace.data.audio.stream import causal_step
from synaptrace.errors import UserError

MELS = [Mel(), Mel(rate=8000, hop=20.0)]
SPEECH = Mel(rate=8000, hop=20.0)


def clips(mel: Mel = SPEECH, count: int = 6) -> torch.Tensor:
    """Power (T, B, bands) of tones in one second."""
    tones = [sounds.tone(300.0 + 400 * i, 0.4, mel.rate, seed=i) for i in range(count)]
    return torch.stack([mel.power(centre(tone, mel.rate)) for tone in tones], 1)


def causal(encoding: str = "features", mel: Mel = SPEECH, form: str = "causal") -> Features:
    return Features(mel, form, encoding).measured([clips(mel)])


@pytest.mark.parametrize("mel", MELS)
def test_a_tone_shows_in_the_band_around_it_and_with_its_power(mel):
    time = torch.arange(mel.rate) / mel.rate
    power = mel.power(torch.sin(2 * math.pi * 1000 * time))
    assert power.shape == (round(1000 / mel.hop), 40)
    steady = power[5:]
    mels = [2595 * math.log10(1 + f / 700) for f in (20, 4000, 1000)]
    place = (mels[2] - mels[0]) / (mels[1] - mels[0]) * 41 - 1
    assert (steady.argmax(1) - place).abs().max() < 1
    assert 0.5 < steady.sum(1).min() <= steady.sum(1).max() < 2.5
    assert steady.sum(1).std() < 0.01


@pytest.mark.parametrize("mel", MELS)
def test_a_frame_ends_with_its_hop_and_sees_nothing_later(mel):
    samples = sounds.tone(700.0, 0.5, mel.rate)
    changed = samples.clone()
    changed[5 * mel.stride :] = 1.0
    before, after = mel.power(samples), mel.power(changed)
    assert torch.equal(before[:5], after[:5])
    assert not torch.isclose(before[5], after[5]).all()


@pytest.mark.parametrize("mel", MELS)
def test_clips_at_once_have_the_power_that_each_has_alone(mel):
    tones = torch.stack([sounds.tone(300.0 + 50 * i, 1.0, mel.rate, seed=i) for i in range(7)])
    assert mel.power(tones).shape == (7, mel.rate // mel.stride, 40)
    alone = torch.stack([mel.power(tone) for tone in tones])
    torch.testing.assert_close(mel.power(tones), alone, rtol=2**-23, atol=0)
    window = torch.hann_window(mel.size, dtype=torch.float64)
    frames = tones.double()[..., : mel.size] * window  # by the definition, in plain steps
    first = (torch.fft.rfft(frames).abs() / (window.sum() / 2)).square() @ mel.matrix
    torch.testing.assert_close(mel.frames(tones)[:, 0], first.float(), rtol=2**-23, atol=0)
    assert mel.frames(tones[:, : mel.size - 1]).shape == (7, 0, 40)


@pytest.mark.parametrize("mel", MELS)
def test_bands_agree_with_librosa(mel):
    librosa = pytest.importorskip("librosa", reason="needs librosa (synaptrace[datasets])")
    settings = {"n_mels": 40, "fmin": 20.0, "fmax": 4000.0, "htk": True, "norm": None}
    bands = librosa.filters.mel(sr=mel.rate, n_fft=mel.size, **settings)
    torch.testing.assert_close(mel.matrix.float(), torch.from_numpy(bands).T, atol=1e-5, rtol=1e-4)
    samples = sounds.tone(700.0, 0.5, mel.rate)
    theirs = librosa.feature.melspectrogram(
        y=samples.numpy(), sr=mel.rate, n_fft=mel.size, hop_length=mel.stride, window="hann",
        center=False, power=2.0, **settings,
    )  # fmt: skip
    ours = mel.frames(samples) * (mel.size / 4) ** 2
    torch.testing.assert_close(ours, torch.from_numpy(theirs).T, atol=1e-4, rtol=1e-3)


def test_a_clip_is_standardised_over_itself_and_knows_no_neighbour():
    features, power = Features(SPEECH), clips()
    events = features(power)
    assert events.shape == (50, 6, 120)
    torch.testing.assert_close(events.mean(0), torch.zeros(6, 120), atol=1e-4, rtol=0)
    torch.testing.assert_close(events.square().mean(0), torch.ones(6, 120), atol=1e-3, rtol=0)
    torch.testing.assert_close(features(power[:, 2:3]), events[:, 2:3])
    torch.testing.assert_close(features(power[:, 2]), events[:, 2])


def test_a_clip_looks_the_same_however_loud_it_is():
    features, power = Features(SPEECH), clips()
    torch.testing.assert_close(features(power / 9), features(power), atol=1e-3, rtol=1e-3)


def test_differences_of_a_clip_are_central():
    power = clips()
    logs = torch.log1p(power / power.amax((0, 2), keepdim=True))
    first = (logs[2:] - logs[:-2]) / 2
    second = logs[2:] - 2 * logs[1:-1] + logs[:-2]
    events = Features(SPEECH)(power)[1:-1]
    for ours, plain in zip(events.split(40, -1), (logs[1:-1], first, second), strict=True):
        correlation = torch.corrcoef(torch.stack([ours[:, 0, 3], plain[:, 0, 3]]))
        assert correlation[0, 1] > 0.999


@pytest.mark.parametrize("encoding", ["features", "delta", "lif"])
@pytest.mark.parametrize("form", ["clip", "causal", "pcen", "relative"])
def test_silence_stays_finite(form, encoding):
    features = Features(SPEECH, form, encoding)
    power = torch.zeros(50, 2, 40)
    features = features.measured([power]) if features.streams else features
    events = features(power)
    assert events.shape == (50, 2, features.channels)
    assert (events == 0).all()


def test_causal_features_are_standardised_over_the_training_set():
    power = clips()
    whole = Features(SPEECH, "causal").measured([power])
    pieces = Features(SPEECH, "causal").measured(power.split(2, 1))
    torch.testing.assert_close(torch.tensor(whole.mean), torch.tensor(pieces.mean))
    events = whole(power).flatten(0, 1)
    torch.testing.assert_close(events.mean(0), torch.zeros(120), atol=1e-3, rtol=0)
    torch.testing.assert_close(events.square().mean(0), torch.ones(120), atol=1e-2, rtol=0)


def test_causal_differences_look_back_on_silence():
    power = clips()
    features = Features(SPEECH, "causal", mean=(0.0,) * 120, deviation=(1.0,) * 120)
    level, first, second = features(power).split(40, -1)
    logs = torch.log(power + 1e-6)
    torch.testing.assert_close(level, logs)
    torch.testing.assert_close(first[1:], logs[1:] - logs[:-1])
    torch.testing.assert_close(first[0], logs[0] - math.log(1e-6))
    torch.testing.assert_close(second[2:], logs[2:] - 2 * logs[1:-1] + logs[:-2])


@pytest.mark.parametrize("form", ["causal", "pcen", "relative"])
@pytest.mark.parametrize("encoding", ["features", "delta", "lif"])
@pytest.mark.parametrize("mel", MELS)
@pytest.mark.parametrize("piece", [1, 77, 160, 4000])
def test_a_stream_gives_what_the_whole_gives(mel, piece, encoding, form):
    seconds = 0.25 if piece == 1 else 2.0
    samples = sounds.tone(500.0, seconds, mel.rate) + sounds.tone(1900.0, seconds, mel.rate)
    features = causal(encoding, mel, form)
    whole = features(mel.power(samples))
    state, frames = None, []
    for part in samples.split(piece):
        some, state = causal_step(features, state, part)
        frames.append(some)
        assert len(state.samples) < mel.size
    streamed = torch.cat(frames)
    assert whole.abs().sum() > 20
    assert streamed.shape == (int(seconds * 1000 / mel.hop), features.channels)
    torch.testing.assert_close(streamed, whole, atol=2e-6, rtol=1e-6)


def test_nothing_heard_changes_nothing():
    features = causal()
    none, state = causal_step(features, None, torch.zeros(0))
    assert none.shape == (0, 120)
    some, _ = causal_step(features, state, sounds.tone(500.0, 0.5, 8000))
    torch.testing.assert_close(some, features(SPEECH.power(sounds.tone(500.0, 0.5, 8000))))


def test_features_come_back_from_json():
    features = causal("delta")
    again = Features.from_spec(json.loads(json.dumps(features.spec)))
    assert again == features
    assert torch.equal(again(clips()), features(clips()))


def test_a_clip_is_put_into_the_middle():
    three = torch.tensor([1.0, 2.0, 3.0])
    assert centre(three, 6).tolist() == [0, 1, 2, 3, 0, 0]
    assert centre(three, 1).tolist() == [2]
    assert centre(three, 3).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mel(hop=40.0), r"data\.hop"),
        (lambda: Mel(hop=0.0), r"data\.hop"),
        (lambda: Mel(rate=4000), r"data\.bands"),
        (lambda: Features(SPEECH, "centred"), r"data\.form"),
        (lambda: Features(SPEECH, encoding="rate"), r"data\.encoding"),
        (lambda: Features(SPEECH, threshold=0.0), r"data\.threshold"),
        (lambda: Features(SPEECH, "causal")(clips()), "statistics"),
        (lambda: Features.from_spec({"form": "clip"}), "features: not those"),
        (
            lambda: Features.from_spec(causal().spec | {"pcen": {"beta": 1.0}}),
            "features: not those",
        ),
        (lambda: causal_step(Features(SPEECH), None, torch.zeros(9)), "waits for the end"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def test_a_floor_is_a_level_that_networks_keep():
    power = torch.rand(9, 2, 40)
    quiet = Features(Mel(), "causal", floor=-80.0).measured([power / 100])
    plain = Features(Mel(), "causal").measured([power])
    torch.testing.assert_close(quiet(power / 100), plain(power), atol=1e-4, rtol=1e-4)
    assert quiet.spec["floor"] == -80.0
    assert Features.from_spec(quiet.spec) == quiet
    assert "floor" not in plain.spec  # as runs had it before
    for level in (1.0, -201.0, math.nan):
        with pytest.raises(UserError, match=r"data\.floor: .* dB is not a level from -200 to 0"):
            Features(Mel(), "causal", floor=level)
