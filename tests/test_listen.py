"""Listening: a stream gives what the whole gives, in constant memory, and decides in words."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

import sounds
from synaptrace import cli
from synaptrace.build import mlp
from synaptrace.data.audio import resample, wav
from synaptrace.data.audio.features import Features
from synaptrace.data.audio.mel import Mel
from synaptrace.errors import UserError
from synaptrace.keyword import listen
from synaptrace.memory import storage_bytes
from synaptrace.neuron import LIF
from synaptrace.seeds import generator

RATE = 8000
MEL = Mel(RATE, 30.0, 20.0, 10)
CLASSES = ("low", "high", "other")


def speech(seconds=2.0, pause=0.5, pitches=(300.0, 2000.0)):
    """Tones with pauses before, between and after them."""
    silence = torch.zeros(round(pause * RATE))
    parts = [silence]
    for pitch in pitches:
        parts += [sounds.tone(pitch, seconds / 4, RATE), silence]
    return torch.cat(parts)


@pytest.fixture(scope="module", params=["causal", "pcen"])
def features(request):
    return Features(MEL, request.param).measured([MEL.power(speech())[:, None]])


@pytest.fixture(scope="module")
def net():
    return mlp(30, [24, 16], 3, neuron=LIF(0.5, 0.8, 0.8), recurrent=True,
               generator=generator(0, "weights"), gain=3.0)  # fmt: skip


@pytest.mark.parametrize("cut", [1, 160, 57, 2345, 10**6])
@pytest.mark.parametrize("engine", [True, False])
def test_a_stream_gives_the_logits_of_the_whole(net, features, cut, engine):
    samples = speech()
    settings = listen.Settings(decay=0.9)
    leaky = listen.ready(net, features, settings)
    assert net.readout_decay == 1.0  # the network itself is as it was
    if cut == 1:
        samples = samples[4000:5000]
    events = features(MEL.power(samples)[:, None])
    state, whole, spikes = None, [], 0
    with torch.no_grad():
        for x in events:
            logits, state = leaky.step(x, state)
            whole.append(logits)
            spikes += int(state.spikes[-1].sum())
    assert spikes > 20  # it really spikes
    heard, last = listen.begin(), 0
    for block in samples.split(cut):
        _, heard = listen.hear(leaky, features, CLASSES, settings, heard, block)
        if heard.frames > last:
            last = heard.frames
            expected = whole[last - 1]
            if engine and last % 10 == 1:
                with torch.no_grad():
                    expected = leaky(events[:last])
            torch.testing.assert_close(heard.net.logits, expected, rtol=1e-5, atol=1e-5)
    assert last == len(samples) // MEL.stride


def test_memory_does_not_grow(net, features):
    settings = listen.Settings()
    leaky, heard, sizes = listen.ready(net, features, settings), listen.begin(), set()
    noise = torch.rand(RATE, generator=generator(0, "noise"))
    for _ in range(20):
        _, heard = listen.hear(leaky, features, CLASSES, settings, heard, noise)
        kept = [leaf for leaf in tree_leaves(heard) if isinstance(leaf, torch.Tensor)]
        sizes.add(storage_bytes(kept))
    assert len(sizes) == 1
    assert heard.frames == 20 * 50
    assert sizes.pop() < 20_000


def test_words_are_decided_where_their_sound_ends(net, features):
    settings = listen.Settings(hold=0.1, confidence=0.0)
    reports = list(listen.listen(net, features, CLASSES, speech().split(100), settings))
    assert [r.state for r in reports] == ["silence", "sound", "word", "silence"] * 1 + [
        "sound", "word", "silence",
    ]  # fmt: skip
    for word, start in zip((r for r in reports if r.state == "word"), (0.5, 1.5), strict=True):
        # tones swell from nothing and last half a second
        assert start <= word.start <= start + 0.1
        assert start + 0.5 <= word.time <= start + 0.7
        assert word.label in CLASSES
        assert 1 / 3 <= word.probability <= 1
    unsure = listen.Settings(hold=0.1, confidence=1.0)
    reports = list(listen.listen(net, features, CLASSES, [speech()], unsure))
    assert {r.state for r in reports} == {"silence", "sound", "undecided"}


def test_a_click_is_no_word_and_a_long_one_is_decided_meanwhile(net, features):
    click = torch.zeros(RATE)
    click[4000:4100] = 0.9
    reports = list(listen.listen(net, features, CLASSES, [click]))
    assert [r.state for r in reports] == ["silence", "sound", "silence"]
    settings = listen.Settings(longest=0.5, confidence=0.0)
    hum = 0.5 * torch.sin(torch.arange(2 * RATE) * 0.8)
    reports = list(listen.listen(net, features, CLASSES, [hum], settings))
    assert [r.time for r in reports if r.state == "word"] == pytest.approx([0.5, 1.0, 1.5, 2.0])


def test_sound_at_the_very_end_is_decided(net, features):
    settings = listen.Settings(confidence=0.0)
    reports = list(listen.listen(net, features, CLASSES, [speech()[: RATE - 700]], settings))
    assert [r.state for r in reports] == ["silence", "sound", "word", "silence"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, "--decay"),
        ({"confidence": 2.0}, "--confidence"),
        ({"silence": 3.0}, "--silence"),
        ({"hold": 0.0}, "--hold"),
        ({"hold": math.inf}, "--hold"),
        ({"longest": math.nan}, "--longest"),
    ],
)
def test_settings_out_of_range_are_named(options, message):
    with pytest.raises(UserError, match=message):
        listen.Settings(**options)


def test_features_must_fit(net, features):
    with pytest.raises(UserError, match="a stream needs 'causal', 'pcen' or 'relative' features"):
        listen.ready(net, Features(MEL, "clip"), listen.Settings())
    with pytest.raises(UserError, match="inputs, not 120 channels"):
        listen.ready(net, Features(Mel(RATE), "causal"), listen.Settings())


def test_wav_files_come_in_blocks(tmp_path: Path):
    for width in (1, 2, 3, 4):
        path = sounds.write(tmp_path / f"{width}.wav", speech(), RATE, width)
        found = list(wav.blocks(path, RATE, 700))
        assert {len(block) for block in found[:-1]} == {700}
        assert torch.equal(torch.cat(found), wav.read(path)[0])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training on three tones that a folder holds."""
    root = tmp_path_factory.mktemp("listen")
    return sounds.tones_run(root, CLASSES, RATE, epochs=80)


def test_the_command_hears_the_words_of_a_file(run, tmp_path: Path, capsys):
    path = sounds.write(tmp_path / "long.wav", speech(pitches=(310.0, 1310.0, 2310.0)), RATE)
    assert cli.main(["listen", str(run), "--wav", str(path), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    words = [line for line in lines if line["state"] == "word"]
    assert [word["label"] for word in words] == list(CLASSES)
    assert lines[0] == {"time": 0.02, "state": "silence"}
    assert cli.main(["listen", str(run), "--wav", str(path)]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == list(CLASSES)


def test_sound_of_another_rate_is_resampled_and_mixed_down(run, tmp_path: Path, capsys):
    tones = speech(pitches=(310.0, 1310.0, 2310.0))
    wide = resample.convert(tones[:, None], RATE, 2 * RATE)
    path = sounds.write(tmp_path / "s.wav", torch.stack([wide, wide], 1), 2 * RATE)
    assert cli.main(["listen", str(run), "--wav", str(path)]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == list(CLASSES)
    heard = torch.cat(list(listen.sound(path, RATE, 700)))
    assert torch.equal(heard, resample.convert(*wav.channels(path), RATE))


def refused(words, capsys):
    assert cli.main(words) == 2
    caught = capsys.readouterr()
    assert caught.out == ""
    assert caught.err.count("\n") == 1
    return caught.err


def test_bad_sound_gets_one_line(run, tmp_path: Path, capsys):
    def said(path):
        return refused(["listen", str(run), "--wav", str(path)], capsys)

    assert "can't be read" in said(tmp_path / "missing.wav")
    assert "holds no samples" in said(sounds.write(tmp_path / "e.wav", torch.zeros(0), RATE))
    whole = sounds.write(tmp_path / "t.wav", speech(), RATE)
    whole.write_bytes(whole.read_bytes()[:-999])
    assert "truncated" in said(whole)
    (tmp_path / "text.wav").write_text("no sound")
    assert "text.wav: not a" in said(tmp_path / "text.wav")
    assert "can't be read" in said(tmp_path)


def test_the_microphone(run, monkeypatch, capsys):
    class Stream:
        def __init__(self, samplerate, channels, dtype, blocksize):
            if samplerate != RATE:
                raise ValueError("Invalid sample rate")
            assert (channels, dtype) == (1, "float32")
            self.left = list(speech(pitches=(1310.0,)).split(blocksize))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, size):
            if not self.left:
                raise KeyboardInterrupt
            return self.left.pop(0)[:, None].numpy(), False

    class Fake:
        PortAudioError = OSError
        InputStream = Stream

    monkeypatch.setitem(__import__("sys").modules, "sounddevice", Fake)
    assert cli.main(["listen", str(run), "--mic"]) == 0
    assert capsys.readouterr().out.split("\t")[1] == "high"
    monkeypatch.setitem(__import__("sys").modules, "sounddevice", None)
    assert "pip install 'synaptrace[audio]'" in refused(["listen", str(run), "--mic"], capsys)


def test_the_command_s_defaults_are_the_library_s():
    import argparse

    from synaptrace.cli.listen import add_arguments

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = vars(parser.parse_args(["RUN", "--mic"]))
    settings = vars(listen.Settings())
    assert options["confidence"] is None  # the calibration's, and else the library's
    options["confidence"] = settings["confidence"]
    assert {name: options[name] for name in settings} == settings


def test_the_benchmark(run, capsys, monkeypatch):
    from synaptrace.bench import __main__ as bench

    monkeypatch.setattr("sys.argv", ["bench", "listen", str(run), "--confidence", "0"])
    bench.main()
    out = capsys.readouterr().out
    assert "6 recordings of test" in out
    counts = {ln.split()[0]: int(ln.split()[1]) for ln in out.splitlines()[1:6]}
    assert counts["right"] + counts["wrong"] == 6
    assert counts["right"] >= 1
    assert counts["missed"] == counts["undecided"] == counts["extra"] == 0
    assert "clip by clip\t100.00 % right" in out
    assert "× real time" in out


def test_every_recording_is_counted_once():
    from synaptrace.bench.listen import judge

    said = [(1.0, 1.5, "a"), (2.0, 2.5, "b"), (3.0, 3.5, "c"), (4.0, 4.5, "d")]
    reports = [
        listen.Report(0.02, "silence"),
        listen.Report(1.7, "word", 1.1, "a", 0.9),
        listen.Report(2.3, "word", 2.0, "a", 0.9),
        listen.Report(2.7, "word", 2.3, "b", 0.9),
        listen.Report(4.7, "undecided", 4.0, "d", 0.1),
    ]
    assert judge(reports, said) == {
        "right": 1, "wrong": 1, "missed": 1, "undecided": 1, "extra": 1,
    }  # fmt: skip


@pytest.mark.parametrize("width", [1, 2, 3, 4, "float"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_files_of_any_rate_width_and_channels_are_heard(rate, channels, width, tmp_path: Path):
    time = torch.arange(rate // 2) / rate
    tone = 0.5 * torch.sin(2 * math.pi * 440 * time)
    samples = tone if channels == 1 else torch.stack([tone, tone], 1)
    path = tmp_path / "a.wav"
    if width == "float":
        soundfile = pytest.importorskip("soundfile")
        soundfile.write(path, samples.numpy(), rate, subtype="FLOAT")
    else:
        sounds.write(path, samples, rate, width)
    heard = torch.cat(list(listen.sound(path, RATE, 700)))
    assert torch.equal(heard, resample.convert(*wav.channels(path), RATE))
    assert len(heard) == math.ceil(len(tone) * RATE / rate)
    expected = 0.5 * torch.sin(2 * math.pi * 440 * torch.arange(len(heard)) / RATE)
    middle = slice(200, -200)
    assert float((heard - expected)[middle].abs().max()) < (0.012 if width == 1 else 0.004)
