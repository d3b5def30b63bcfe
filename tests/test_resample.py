"""Sound of another rate that is resampled as it comes is what the whole recording would be."""

import math

import pytest
import torch

import sounds
from synaptrace.data.audio import clips, resample, wav
from synaptrace.keyword import listen


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_pieces_give_the_samples_of_the_whole(rate: int, channels: int, width: int, tmp_path):
    draws = torch.Generator().manual_seed(rate)
    noise = torch.rand(rate // 4 + 13, channels, generator=draws) - 0.5
    path = sounds.write(tmp_path / "a.wav", noise, rate, width)
    for to in (8000, 16000):
        whole = resample.convert(*wav.channels(path), to)
        assert float(whole.std()) > 0.05
        for size in (333, 20_000):
            pieces = list(listen.sound(path, to, size))
            assert torch.equal(torch.cat(pieces), whole)
            assert len(pieces) > 1 or size > 333


def test_a_file_that_is_needed_whole_is_read_in_pieces_too(tmp_path, monkeypatch):
    noise = torch.rand(2 * clips.PIECE + 7, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    path = sounds.write(tmp_path / "a.wav", noise, 44100, 2)
    whole = resample.convert(*wav.channels(path), 16000)
    read, decode = [], wav._decode
    monkeypatch.setattr(
        wav, "_decode", lambda data, width: (read.append(len(data)), decode(data, width))[1]
    )
    assert torch.equal(clips.mono(path, 16000), whole)
    assert sum(read) == 2 * 2 * len(noise)
    assert max(read) == 2 * 2 * clips.PIECE


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_what_is_kept_does_not_grow(rate: int, monkeypatch: pytest.MonkeyPatch):
    seen, real = [], resample.resample
    monkeypatch.setattr(
        resample, "resample", lambda mono, *rates: (seen.append(len(mono)), real(mono, *rates))[1]
    )
    longest = []
    for seconds in (1, 4):
        seen.clear()
        blocks = ((torch.zeros(1000, 1), rate) for _ in range(seconds * rate // 1000))
        made = sum(map(len, resample.stream(blocks, 16000)))
        assert made == math.ceil(seconds * rate // 1000 * 1000 * 16000 / rate)
        longest.append(max(seen))
    assert longest[0] == longest[1] < 5000
