"""The simulated event camera: what moves makes events, of the right sign, place and number."""

import pytest
import torch

from synaptrace.data.simulate.camera import DARK, Camera, place, saccades
from synaptrace.errors import UserError
from synaptrace.seeds import generator

OFF, ON = 0, 1
RIGHT = [(0.0, 0.5 * step) for step in range(17)]


def bar(rows: int = 6, columns: int = 4) -> torch.Tensor:
    """One bright column, at the left of a black image."""
    image = torch.zeros(1, rows, columns)
    image[:, :, 0] = 1.0
    return image


def camera(**settings) -> Camera:
    return Camera(**({"path": RIGHT, "mismatch": 0.0, "sensor": (6, 12)} | settings))


def test_a_bar_moving_right_makes_on_before_off_ever_further_right():
    frames = camera().record(bar(), generator(0))[0].float()
    steps = torch.arange(16.0)[:, None]
    counts = frames.sum(2)  # (T, 2, columns), over rows
    passed = range(1, 8)  # columns that the bar enters and leaves
    when = (counts * steps[:, None]).sum(0) / counts.sum(0).clamp(min=1)
    for column in passed:
        assert counts[:, ON, column].sum() > 0
        assert when[ON, column] < when[OFF, column]
        assert when[ON, column] < when[ON, column + 1]


def test_a_still_image_makes_no_events():
    still = camera(path=[(0.0, 1.5)] * 5)
    assert not still.record(bar(), generator(0)).any()


def test_events_count_the_change_of_log_intensity():
    """Pixels go from black to white and back: each way ⌊log(1.2 / 0.2) / θ⌋ events."""
    expected = int(torch.log(torch.tensor((1 + DARK) / DARK)) / 0.25)
    frames = camera().record(bar(), generator(0))[0].int()
    inner = frames[..., 2:7].sum(0)
    assert expected == 7
    assert (inner[ON] == expected).all()
    assert (inner[OFF] == expected).all()


def test_a_pixel_keeps_what_has_not_yet_made_an_event():
    """However finely a move is cut into steps, the number of events is the same."""
    coarse = saccades([(0.0, 0.0), (0.0, 1.0)], 2)
    fine = saccades([(0.0, 0.0), (0.0, 1.0)], 50)
    image = torch.rand(3, 6, 4, generator=generator(3))
    few = camera(path=coarse).record(image, generator(0)).sum(1)
    many = camera(path=fine).record(image, generator(0)).sum(1)
    assert few.sum() > 100
    assert torch.equal(few, many)


def test_motion_is_finer_than_a_pixel():
    """A move of a tenth of a pixel shifts a tenth of the light: bilinear interpolation."""
    tenth = camera(path=[(0.0, 0.0), (0.0, 0.1)], threshold=0.01)
    frames = tenth.record(bar(), generator(0))[0, 0].float()
    rise = torch.log(torch.tensor((0.1 + DARK) / DARK))
    fall = torch.log(torch.tensor((1 + DARK) / (0.9 + DARK)))
    assert (frames[ON, :, 1] == (rise / 0.01).floor()).all()
    assert (frames[OFF, :, 0] == (fall / 0.01).floor()).all()
    assert frames.sum() == frames[ON, :, 1].sum() + frames[OFF, :, 0].sum()


def test_the_ground_is_as_bright_as_it_says():
    """A white image on a white ground shows nothing; a dark bar on it swaps ON and OFF."""
    white = camera(ground=1.0).record(torch.ones(1, 6, 4), generator(0))
    assert not white.any()
    dark, bright = (
        camera(ground=ground, path=[(0.0, 2.0 + 0.5 * step) for step in range(9)])
        .record(image, generator(0))
        .sum((1, 3, 4))
        for ground, image in ((1.0, 1 - bar()), (0.0, bar()))
    )
    assert dark.sum() > 50
    assert torch.equal(dark, bright.flip(1))


def test_blur_spreads_a_bar_and_keeps_its_light():
    shares = place(1, 9, 4.0, 0.7)[:, 0]
    assert shares.sum().item() == pytest.approx(1.0, abs=1e-4)
    pixels = torch.arange(9.0) - 4
    assert (shares * pixels).sum().item() == pytest.approx(0.0, abs=1e-5)
    spread = (shares * pixels.square()).sum().item()
    assert spread == pytest.approx(0.7**2 + 1 / 12, rel=1e-3)  # the lens's and a square's own
    sharp = place(5, 9, 1.3, 1e-3)
    assert torch.equal(sharp.round(), place(5, 9, 1.0, 0.0))


def test_a_refractory_pixel_pauses_and_forgets_meanwhile():
    flash = [(0.0, 0.0), *[(0.0, 0.1 * step) for step in range(1, 11)]]
    fast = camera(path=flash, threshold=0.05, refractory=0.0).record(bar(), generator(0))[0]
    slow = camera(path=flash, threshold=0.05, refractory=2.0).record(bar(), generator(0))[0]
    assert fast.max() > 3
    assert slow.max() == 1
    sent = slow.sum(1)[:, 0, 0].nonzero()[:, 0].tolist()
    assert sent == [0, 3, 6, 9]  # two steps of pause after each, with change enough at every step


def test_a_refractory_pixel_with_time_loses_nothing():
    """Where edges are slow, the pause costs but the change within it."""
    slowly = saccades([(0.0, 0.0), (0.0, 1.0)], 2000)
    image = torch.rand(2, 6, 4, generator=generator(3))
    plain = camera(path=slowly).record(image, generator(0)).sum(1).float()
    pausing = camera(path=slowly, refractory=1.0).record(image, generator(0)).sum(1).float()
    assert plain.sum() > 50
    assert (plain - pausing).abs().sum() < 0.05 * plain.sum()


def test_leak_makes_on_events_at_its_rate():
    dark = torch.zeros(30, 4, 4)
    leaky = camera(path=[(0.0, 0.0)] * 501, leak=2.0, dt=10.0)
    frames = leaky.record(dark, generator(0)).double()
    assert frames[:, :, OFF].sum() == 0
    assert (frames[:, :, ON].sum(1) >= 9).all()  # 5 s, each begun at rest
    assert (frames[:, :, ON].sum(1) <= 10).all()


def test_a_pixel_that_has_seen_motion_begins_between_its_thresholds():
    """As many events in the mean as the change says; ⌊⌋ is lost where pixels begin at rest."""
    tenth = {"path": [(0.0, 0.0), (0.0, 0.1)], "threshold": 0.25}
    images = bar().expand(2000, -1, -1)
    rise = torch.log(torch.tensor((0.1 + DARK) / DARK)).item() / 0.25
    assert 1 < rise < 2
    rested = camera(**tenth).record(images, generator(0))[:, 0, ON, :, 1].double()
    moved = camera(**tenth, moved=True).record(images, generator(0))[:, 0, ON, :, 1].double()
    # n = ⌊rise + u⌋ where u is even between −1 and 1
    below, above = rise - 1, rise + 1
    mean = sum(max(0.0, above - n) - max(0.0, below - n) for n in (1, 2)) / 2
    assert (rested == 1).all()
    assert moved.mean().item() == pytest.approx(mean, abs=0.03)


def test_rows_and_columns_are_not_confused():
    sideways = camera(path=[(0.5 * step, 0.0) for step in range(9)], sensor=(12, 6))
    down = sideways.record(bar().transpose(1, 2), generator(0))
    right = camera(path=RIGHT[:9]).record(bar(), generator(0))
    assert torch.equal(down, right.transpose(3, 4))


def test_mismatch_changes_thresholds_of_each_pixel_and_polarity():
    even = camera(threshold=0.02).record(bar(), generator(0)).sum(1).float()
    uneven = camera(threshold=0.02, mismatch=0.15).record(bar(), generator(0)).sum(1).float()
    ratio = (even / uneven)[0, :, :, 2:7]  # θ of a pixel over θ
    assert torch.unique(ratio).numel() > 20
    assert 0.1 < ratio.log().std() < 0.2
    assert (ratio[ON] != ratio[OFF]).float().mean() > 0.9


def test_noise_comes_at_its_rate_in_both_polarities():
    dark = torch.zeros(40, 4, 4)
    noisy = camera(path=[(0.0, 0.0)] * 51, noise=2.0, dt=10.0, sensor=(12, 12))
    frames = noisy.record(dark, generator(0)).double()
    expected = 2.0 * 0.5 * 144 * 40  # Hz · seconds · pixels · images
    assert abs(frames.sum() - expected) < 5 * expected**0.5
    assert abs(frames[:, :, ON].sum() - expected / 2) < 5 * (expected / 2) ** 0.5


def test_the_same_seed_gives_the_same_bits():
    images = torch.rand(5, 6, 4, generator=generator(1))
    noisy = camera(mismatch=0.15, noise=5.0, dt=10.0)
    first = noisy.record(images, generator(0))
    assert torch.equal(first, noisy.record(images, generator(0)))
    assert not torch.equal(first, noisy.record(images, generator(1)))


def test_images_do_not_change_one_another_nor_the_global_generator():
    images = torch.rand(5, 6, 4, generator=generator(1))
    before = torch.get_rng_state()
    together = camera(mismatch=0.15).record(images, generator(0))
    alone = torch.cat([camera(mismatch=0.15).record(i[None], generator(0)) for i in images])
    chunks = torch.cat(list(camera(mismatch=0.15).stream(images, generator(0), chunk=2)))
    assert torch.equal(together, alone)
    assert torch.equal(together, chunks)
    assert torch.equal(before, torch.get_rng_state())


def test_bytes_are_intensities_of_255_parts():
    images = torch.randint(256, (2, 6, 4), generator=generator(1)).to(torch.uint8)
    floating = camera().record(images.float() / 255, generator(0))
    assert torch.equal(camera().record(images, generator(0)), floating)


def test_shape_and_type():
    frames = camera(path=saccades([(0, 0), (1, 1), (0, 0)], 5)).record(bar(), generator(0))
    assert frames.shape == (1, 10, 2, 6, 12)
    assert frames.dtype == torch.uint8


def test_a_saccade_starts_and_ends_at_rest_and_is_fastest_in_the_middle():
    path = torch.tensor(saccades([(0.0, 0.0), (4.0, 2.0), (0.0, 2.0)], 20))
    assert path.shape == (41, 2)
    assert path[[0, 20, 40]].tolist() == [[0, 0], [4, 2], [0, 2]]
    speed = path.diff(dim=0).norm(dim=1)[:20]
    assert speed.argmax() in (9, 10)
    assert speed[0] < 0.02 * speed.max()
    assert torch.allclose(speed, speed.flip(0), atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(0, 4, 4),
        torch.zeros(4, 4),
        torch.full((1, 4, 4), float("nan")),
        torch.full((1, 4, 4), 1.5),
        torch.full((1, 4, 4), -0.5),
    ],
)
def test_images_that_are_none_are_refused(images):
    with pytest.raises(UserError, match="camera: "):
        camera().record(images, generator(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"path": [(0.0, 0.0)]},
        {"threshold": 0.0},
        {"threshold": float("nan")},
        {"dt": 0.0},
        {"sensor": (0, 4)},
        {"mismatch": -0.1},
        {"noise": -1.0},
        {"dark": 0.0},
        {"ground": 1.5},
        {"blur": -1.0},
        {"refractory": -1.0},
        {"leak": float("nan")},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UserError, match="camera: "):
        camera(**settings)
