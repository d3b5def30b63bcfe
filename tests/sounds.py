"""Sound files for tests: tones that differ, written as the data sets write theirs."""

import math
import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from synaptrace import cli
from synaptrace.data.sets.speechcommands import WORDS


def tone(pitch: float, seconds: float = 0.5, rate: int = 16000, seed: int = 0) -> torch.Tensor:
    """A sine of ``pitch`` Hz that swells and fades, with a little noise, (N,) from −1 to 1."""
    time = torch.arange(round(seconds * rate)) / rate
    swell = torch.sin(math.pi * time / seconds)
    noise = torch.randn(len(time), generator=torch.Generator().manual_seed(seed))
    return 0.5 * swell * torch.sin(2 * math.pi * pitch * time) + 0.003 * noise


def write(path: Path, samples: torch.Tensor, rate: int = 16000, width: int = 2) -> Path:
    """Samples (N,) or (N, channels) from −1 to 1 as PCM of ``width`` bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = 2 ** (8 * width - 1)
    whole = (samples.double() * scale).round().clamp(-scale, scale - 1).long()
    if width == 1:
        whole = whole + 128
    data = whole.flatten().numpy().astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.dim() == 1 else samples.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def followed(path: str | Path, copy: Path) -> str:
    """A copy of a wav file whose samples a chunk of other bytes follows, loud as sound."""
    noise = np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes()
    copy.write_bytes(Path(path).read_bytes() + b"LIST" + len(noise).to_bytes(4, "little") + noise)
    return str(copy)


def fsdd(root: Path, numbers: range = range(20), speakers: str = "ann bob eve") -> Path:
    """The Free Spoken Digit Dataset in small: a tone for each digit, a little higher each time."""
    for digit in range(10):
        for place, speaker in enumerate(speakers.split()):
            for number in numbers:
                pitch = 300.0 + 300 * digit + 20 * place + number
                samples = tone(pitch, 0.2 + 0.01 * number, 8000, seed=number)
                write(root / "recordings" / f"{digit}_{speaker}_{number}.wav", samples, 8000)
    return root


SPEAKERS = ("0a2b400e", "1b4c9b89", "2da58b32", "3a70ddf8", "c50f55b8")


def speech_commands(
    root: Path, words: Sequence[str] = WORDS, noise: float = 10.5, takes: int = 2
) -> Path:
    """Speech Commands v2 in small: each word twice by five speakers, a strange word, noise.

    The lists put the fourth speaker into validation and the fifth into the test.
    """
    for number, word in enumerate(words):
        for place, speaker in enumerate(SPEAKERS):
            for take in range(takes):
                samples = tone(200.0 + 100 * number + 7 * place + take, 1.0 - 0.1 * take)
                write(root / word / f"{speaker}_nohash_{take}.wav", samples)
    write(root / "parrot" / f"{SPEAKERS[0]}_nohash_0.wav", tone(90.0))
    write(root / "_background_noise_" / "rain.wav", tone(50.0, noise))
    for name, speaker in {"validation_list": SPEAKERS[3], "testing_list": SPEAKERS[4]}.items():
        lines = [f"{word}/{speaker}_nohash_{take}.wav\n" for word in words for take in range(takes)]
        (root / f"{name}.txt").write_text("".join(lines))
    return root


def tones_run(root: Path, names: Sequence[str], rate: int, epochs: int) -> Path:
    """A run trained on ten recordings of each of some tones, which lie in ``root``/words."""
    for place, name in enumerate(names):
        for number in range(10):
            one = tone(300 + 1000 * place + 10 * number, 0.5, rate, seed=number)
            write(root / "words" / name / f"{number}.wav", one, rate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNAPTRACE_DATA", str(root / "home"))
        words = ["train", "--preset", "fsdd", "--data.name", "folder", "--data.path",
                 str(root / "words"), "--model.hidden", "[40]", "--train.epochs", str(epochs),
                 "--train.ema", "0.9", "--out", str(root / "runs"), "--quiet"]  # fmt: skip
        assert cli.main(words) == 0
    (made,) = (root / "runs").iterdir()
    return made
