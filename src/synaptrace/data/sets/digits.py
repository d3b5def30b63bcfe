"""Handwritten digits seen by a simulated event camera: the data that need no download.

1,797 images of 8×8 pixels by 43 writers, in 10 classes, which scikit-learn brings along
(E. Alpaydin, C. Kaynak, UCI Machine Learning Repository 1998, "Optical Recognition of Handwritten
Digits", test part; CC BY 4.0). The camera records them anew at each start, always the same events.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from synaptrace.data import splits
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.events.augment import check_shift
from synaptrace.data.events.augment import shift as shift_events
from synaptrace.data.simulate.camera import Camera, saccades
from synaptrace.data.source import Source
from synaptrace.errors import UserError
from synaptrace.seeds import generator

SOURCE = Source(
    name="digits",
    title="handwritten digits seen by a simulated event camera, 16×16 pixels, 10 classes",
    licence="CC BY 4.0",
    page="https://archive.ics.uci.edu/dataset/80",
    splits="stored: of each class 70 % train, 15 % validate, 15 % test",
)

SEED = 0
"""Of the recording and of the split; the data don't change with a run's seed."""

FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}

INDEX = Path(__file__).with_name("digits_split.json")

CAMERA = Camera(
    path=saccades([(0.0, 0.0), (4.0, 2.0), (0.0, 4.0), (0.0, 0.0)], steps=10),
    threshold=0.25,
    mismatch=0.15,
    noise=0.1,
    dt=10.0,
    sensor=(16, 16),
)
"""Three saccades of 100 ms as in N-MNIST, on a sensor of 16×16 pixels, in steps of 10 ms."""

SIZE = 12
"""Rows and columns to which the images are enlarged; the path has the rest of the sensor."""


def load(
    *, path: Path | None = None, batch_size: int = 64, shift: int = 1, dt: int = 10
) -> ArrayDataset:
    """The digits: events (300 / dt, B, 2, 16, 16), channel 0 OFF and 1 ON.

    Args:
        dt: milliseconds a step: 10, as recorded, or a multiple that divides 300.
        shift: training samples move by up to so many pixels, either way, drawn anew every time.

    Raises:
        UserError: a path, for there are no files; a shift or a step out of range.
    """
    if path is not None:
        raise UserError(f"data.path: {path} isn't needed; the digits come with scikit-learn")
    check_shift(shift, SIZE)
    images, labels = read()
    frames = rebin(CAMERA.record(images, generator(SEED, "camera")), dt)
    index = splits.load(INDEX, samples=len(labels))
    return ArrayDataset(
        frames,
        labels,
        name="digits",
        classes=[str(digit) for digit in range(10)],
        index=index,
        batch_size=batch_size,
        augment=partial(shift_events, pixels=shift) if shift else None,
        test_split="development",
        split_hash=splits.digest(index),
    )


def rebin(frames: Tensor, dt: int) -> Tensor:
    """Frames (N, 30, …) of 10 ms as (N, 300 / dt, …). Raises UserError where that is no number."""
    if dt <= 0 or dt % 10 or 300 % dt:
        raise UserError(f"data.dt: {dt} is no multiple of 10 ms that divides 300")
    cut = frames.view(len(frames), 300 // dt, dt // 10, *frames.shape[2:])
    return cut.sum(2).clamp(max=255).to(torch.uint8)


def read_file(path: Path, dt: int = 10) -> Tensor:
    """A picture of one digit, seen by the same camera: events (300 / dt, 2, 16, 16).

    The digit is cut out and scaled as those of the data set were; a picture whose rim is light is
    taken as dark on light.

    Raises:
        UserError: the file is no picture, or shows nothing.
    """
    import numpy
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            grey = file.convert("L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: can't be read as a picture") from error
    pixels = numpy.asarray(grey)
    rim = numpy.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if numpy.median(rim) > 127:
        grey = ImageOps.invert(grey)
    ink = grey.point(lambda value: 255 * (value > 64)).getbbox()
    if ink is None:
        raise UserError(f"{path}: shows nothing; needs one digit, light on dark or dark on light")
    small = torch.tensor(numpy.asarray(ImageOps.pad(grey.crop(ink), (8, 8))))
    image = enlarge(small[None].float() / 255)
    return rebin(CAMERA.record(image.clamp(0, 1), generator(SEED, "camera")), dt)[0].float()


def read() -> tuple[Tensor, Tensor]:
    """The images, enlarged, (1797, 12, 12) in [0, 1], and their labels (1797,)."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return enlarge(torch.from_numpy(raw.images).float() / 16), torch.from_numpy(raw.target).long()


def enlarge(images: Tensor) -> Tensor:
    """Images (N, 8, 8) at the size that the camera sees, (N, 12, 12)."""
    return F.interpolate(images[:, None], size=(SIZE, SIZE), mode="bilinear")[:, 0]
