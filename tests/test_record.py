"""Recording one's own words: what is asked, what is written, what is refused."""

import sys
from pathlib import Path

import pytest
import torch

import sounds
from synaptrace import cli, data
from synaptrace.data.audio import wav
from synaptrace.errors import UserError
from synaptrace.keyword import record

RATE = 8000


def loop(root, takes, words=("yes", "no"), count=2, answers=None):
    asked, told = [], []
    left, replies = list(takes), list(answers or [])

    def ask(prompt):
        asked.append(prompt.split()[0])
        return replies.pop(0) if replies else ""

    written = record.record(root, words, count, RATE, lambda: left.pop(0), ask, told.append)
    return written, asked, told


def test_words_come_by_turns_and_become_a_folder_data_set(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "home"))
    takes = [sounds.tone(300 + 100 * i, 1.0, RATE) for i in range(12)]
    written, asked, told = loop(tmp_path / "w", takes, count=6)
    assert asked == ["yes", "no"] * 6
    assert told == []
    assert written[:2] == [tmp_path / "w/yes/1.wav", tmp_path / "w/no/1.wav"]
    samples, rate = wav.read(written[0])
    assert rate == RATE
    torch.testing.assert_close(samples, takes[0], atol=1e-4, rtol=0)
    found = data.load("folder", path=tmp_path / "w")
    assert found.meta.classes == ("no", "yes")
    assert sum(found.meta.sizes.values()) == 12


def test_what_is_too_quiet_or_too_loud_is_asked_for_again(tmp_path: Path):
    good = sounds.tone(300, 1.0, RATE)
    takes = [good * 1e-3, good * 3, good, good]
    written, asked, told = loop(tmp_path, takes, count=1)
    assert asked == ["yes", "yes", "yes", "no"]
    assert [line.split(":")[0].strip() for line in told] == ["too quiet", "too loud"]
    assert len(written) == 2


def test_it_can_be_left_and_gone_on_with(tmp_path: Path):
    good = sounds.tone(300, 1.0, RATE)
    written, asked, _ = loop(tmp_path, [good] * 3, answers=["", "", "", "q"])
    assert len(written) == 3
    written, asked, _ = loop(tmp_path, [good])
    assert (written, asked) == ([tmp_path / "no/2.wav"], ["no"])
    assert loop(tmp_path, []) == ([], [], [])


@pytest.mark.parametrize("words", [["yes"], ["a", "a"], ["a", ""], ["a", "../b"], ["a", ".b"]])
def test_words_must_be_folders(tmp_path: Path, words):
    with pytest.raises(UserError, match="--words"):
        loop(tmp_path, [], words=words)
    with pytest.raises(UserError, match="--count"):
        loop(tmp_path, [], count=0)


def test_the_command(tmp_path: Path, monkeypatch, capsys):
    class Stream:
        def __init__(self, samplerate, channels, dtype, blocksize):
            assert (samplerate, blocksize) == (RATE, RATE // 2)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read(self, size):
            return sounds.tone(500, 0.5, RATE)[:, None].numpy(), False

    class Fake:
        PortAudioError = OSError
        InputStream = Stream

    words = ["record", str(tmp_path / "w"), "--words", "yes,no", "--count", "1",
             "--seconds", "0.5", "--rate", str(RATE)]  # fmt: skip
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert cli.main(words) == 2
    assert "pip install 'synaptrace[audio]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sounddevice", Fake)
    assert cli.main(words) == 0
    assert "2 recordings in" in capsys.readouterr().out
    assert len(wav.read(tmp_path / "w/no/1.wav")[0]) == RATE // 2
    for option in ("--rate", "--seconds"):
        assert cli.main([*words, option, "0"]) == 2
        assert "--seconds, --rate: need" in capsys.readouterr().err


def test_the_meter_shows_level_peak_and_what_is_wrong():
    good = sounds.tone(300, 1.0, RATE)
    assert record.meter(torch.zeros(800)).startswith("[" + " " * 20 + "] peak")
    assert "too quiet" in record.meter(good * 1e-3)
    assert "clipping" in record.meter((good * 3).clamp(-1, 1))
    said = record.meter(good)
    assert "#" * 10 in said
    assert f"{20 * float(good.abs().max().log10()):.1f} dB" in said
    assert "quiet" not in said
    assert "clipping" not in said


def test_the_microphone_shows_blocks_and_gives_the_same(monkeypatch):
    from synaptrace.keyword import microphone

    tone = sounds.tone(300, 1.0, RATE)
    monkeypatch.setattr(microphone, "blocks", lambda rate, size: iter(tone.split(size)))
    shown = []
    found = microphone.record(RATE, 0.55, shown.append)
    assert torch.equal(found, tone[: round(0.55 * RATE)])
    assert len(shown) == 6
    assert torch.equal(microphone.record(RATE, 0.55), found)
