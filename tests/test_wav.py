"""Reading sound: every width of PCM, and one clear line for each kind of bad file."""

import struct
import sys

import pytest
import torch

import sounds
from synaptrace.data.audio import resample, wav
from synaptrace.errors import UserError

SAMPLES = torch.tensor([0.0, 0.5, -0.5, 0.25, -1.0, 0.75])


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_pcm_of_every_width_is_read(tmp_path, width):
    path = sounds.write(tmp_path / "a.wav", SAMPLES, rate=8000, width=width)
    samples, rate = wav.read(path)
    assert rate == 8000
    assert samples.dtype == torch.float32
    assert torch.equal(samples, SAMPLES)


def test_the_finest_steps_of_24_bits_are_kept(tmp_path):
    fine = torch.tensor([1.0, -1.0, 1193046.0]) / 2**23
    samples, _ = wav.read(sounds.write(tmp_path / "a.wav", fine, width=3))
    assert torch.equal(samples, fine)


def test_two_channels_and_another_rate_are_refused_naming_the_file(tmp_path):
    stereo = sounds.write(tmp_path / "two.wav", torch.stack([SAMPLES, -SAMPLES], 1))
    with pytest.raises(UserError, match=r"two\.wav: 2 channels, where mono is expected"):
        wav.read(stereo)
    slow = sounds.write(tmp_path / "slow.wav", SAMPLES, rate=8000)
    with pytest.raises(UserError, match=r"slow\.wav: recorded at 8000 Hz, where 16000 Hz"):
        wav.read(slow, rate=16000)
    assert wav.read(slow, rate=8000)[1] == 8000


def spoil(path, change):
    path.write_bytes(change(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-5], "truncated, 3 of 6 samples"),
        (lambda data: data[:30], "not a PCM wav file"),
        (lambda data: b"", "not a PCM wav file"),
        (lambda data: b"a text, no sound" * 9, "not a PCM wav file"),
        (lambda data: data[:40] + bytes(4), "holds no samples"),
    ],
)
def test_bad_files_are_named(tmp_path, change, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)  # as where it isn't installed
    path = spoil(sounds.write(tmp_path / "bad.wav", SAMPLES), change)
    with pytest.raises(UserError, match=rf"bad\.wav: {message}") as caught:
        wav.read(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.wav: can't be read"):
        wav.read(tmp_path / "gone.wav")
    with pytest.raises(UserError, match="can't be read"):
        wav.read(tmp_path)


def floats(values: list[float], rate: int = 16000) -> bytes:
    """A wav file of floating numbers, which `wave` doesn't read."""
    data = struct.pack(f"<{len(values)}f", *values)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, rate, 4 * rate, 4, 32)
    rest = b"WAVE" + form + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(rest)) + rest


def test_without_soundfile_other_formats_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (tmp_path / "a.wav").write_bytes(floats([0.5]))
    with pytest.raises(UserError, match=r"a\.wav: .*pip install 'synaptrace\[datasets\]'"):
        wav.read(tmp_path / "a.wav")


def test_soundfile_reads_other_formats_and_its_errors_are_one_line(tmp_path):
    pytest.importorskip("soundfile", reason="needs soundfile")
    path = tmp_path / "a.wav"
    path.write_bytes(floats([0.5, -0.25], rate=8000))
    samples, rate = wav.read(path)
    assert (samples.tolist(), rate) == ([0.5, -0.25], 8000)
    path.write_bytes(floats([0.5, float("nan")]))
    with pytest.raises(UserError, match=r"a\.wav: holds NaN"):
        wav.read(path)
    path.write_bytes(b"a text, no sound" * 9)
    with pytest.raises(UserError, match=r"a\.wav: not a sound file that can be read"):
        wav.read(path)


def test_conversion_mixes_down_and_keeps_the_tone():
    tone = sounds.tone(440.0, rate=44100)
    assert torch.equal(resample.convert(torch.stack([tone, tone], 1), 44100, 44100), tone)
    converted = resample.convert(torch.stack([1.5 * tone, 0.5 * tone], 1), 44100, 16000)
    assert converted.dtype == torch.float32
    assert len(converted) == 8000
    clean = sounds.tone(440.0, rate=16000)
    inside = slice(200, -200)
    assert (converted[inside] - clean[inside]).abs().max() < 0.03  # the noise is 0.003 σ


def riff(*parts: bytes, form: bytes = b"RIFF") -> bytes:
    rest = b"WAVE" + b"".join(parts)
    return struct.pack("<4sI", form, len(rest)) + rest


def part(name: bytes, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    return struct.pack("<4sI", name, size) + content + bytes(len(content) % 2)


def fmt(kind=1, channels=1, rate=8000, bits=16, block=None) -> bytes:
    block = channels * ((bits + 7) // 8) if block is None else block
    return struct.pack("<HHIIHH", kind, channels, rate, block * rate % 2**32, block, bits)


WHOLE = struct.pack("<3h", 0, 16384, -32768)
EXTENDED = struct.pack("<HHI", 22, 16, 4) + struct.pack("<H", 1) + wav.GUID

FORMS = {
    "plain": riff(part(b"fmt ", fmt()), part(b"data", WHOLE)),
    "extensible": riff(part(b"fmt ", fmt(wav.EXTENSIBLE) + EXTENDED), part(b"data", WHOLE)),
    "streamed": riff(part(b"fmt ", fmt()), part(b"data", WHOLE, 2**32 - 1)),
    "streamed, cut": riff(part(b"fmt ", fmt()), part(b"data", WHOLE + b"x", 2**32 - 1)[:-1]),
    "a list of odd size": riff(
        part(b"fmt ", fmt()), part(b"LIST", b"INFOabc"), part(b"data", WHOLE), part(b"LIST", b"a")
    ),
    "a longer header": riff(part(b"fmt ", fmt() + bytes(60)), part(b"data", WHOLE)),
    "no block": riff(part(b"fmt ", fmt(block=0)), part(b"data", WHOLE)),
    "a list beyond the end, after": riff(
        part(b"fmt ", fmt()), part(b"data", WHOLE), part(b"LIST", b"", 2**32 - 1)
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_header_is_read(tmp_path, form, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    path = tmp_path / "a.wav"
    path.write_bytes(FORMS[form])
    samples, rate = wav.read(path)
    assert (samples.tolist(), rate) == ([0.0, 0.5, -1.0], 8000)
    assert torch.equal(torch.cat(list(wav.blocks(path, 8000, 2))), samples)


def bad(**changes) -> bytes:
    return riff(part(b"fmt ", fmt(**changes)), part(b"data", bytes(72)))


BAD = {
    "a rate of 0 Hz": bad(rate=0),
    "a rate of 4294967295 Hz": bad(rate=2**32 - 1),
    "0 channels": bad(channels=0),
    "of 0 bits": bad(bits=0),
    "of 40 bits": bad(bits=40),
    "of 56 bits": bad(bits=56),
    "of 72 bits": bad(bits=72),
    "of 24 bits in 4 bytes": bad(bits=24, block=4),
    "samples of form 65534": riff(
        part(b"fmt ", fmt(wav.EXTENSIBLE) + EXTENDED[:-1] + b"x"), part(b"data", WHOLE)
    ),
    "'LIST' of 4294967295 bytes goes beyond": riff(
        part(b"fmt ", fmt()), part(b"LIST", b"INFO", 2**32 - 1), part(b"data", WHOLE)
    ),
    "ends before its samples": riff(part(b"fmt ", fmt())),
    "'fmt ' is too short": riff(part(b"fmt ", fmt()[:14]), part(b"data", WHOLE)),
    "truncated, 3 of 2147483647": riff(part(b"fmt ", fmt()), part(b"data", WHOLE, 2**32 - 2)),
    "holds no samples": riff(part(b"fmt ", fmt()), part(b"data", b"", 2**32 - 1)),
    "doesn't start as one": riff(part(b"fmt ", fmt()), part(b"data", WHOLE), form=b"RIFX"),
}


@pytest.mark.parametrize("message", BAD)
def test_bad_headers_are_named(tmp_path, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "soundfile", None)
    path = tmp_path / "a.wav"
    path.write_bytes(BAD[message])
    for read in (wav.channels, lambda file: list(wav.blocks(file, 8000, 2))):
        with pytest.raises(UserError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)
