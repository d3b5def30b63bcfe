"""Old words in the colour of a new one's speaker."""

import pytest
import torch

from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.keyword.adapt import adapt
from synaptrace.keyword.keep import Keep
from synaptrace.keyword.rehearse import mixed
from synaptrace.keyword.voice import colour, lent
from synaptrace.seeds import generator

STEPS, CLIPS, BANDS = 20, 6, 40


def clips():
    """Power (T, B, bands), loud, and every clip brighter than the one before."""
    tilt = torch.linspace(-3, 3, BANDS) * torch.arange(CLIPS)[:, None] / CLIPS
    drawn = torch.rand(STEPS, CLIPS, BANDS, generator=generator(0, "power")) + 0.1
    return drawn * tilt.exp()


def data():
    return ArrayDataset(
        clips().transpose(0, 1), torch.tensor([2, 2, 0, 1, 0, 1]), name="sounds", classes="abc",
        index={"train": range(CLIPS)},
    )  # fmt: skip


def test_what_is_rehearsed_takes_over_the_colour_and_keeps_all_else():
    power = clips()
    made = lent(power, 1, 1.0, generator(0, "draws"))
    own, before = colour(made), colour(power)
    assert torch.equal(made[:, :1], power[:, :1])
    assert (before[1:] - before[:1]).abs().amax(1).min() > 0.2  # there is something to take over
    torch.testing.assert_close(own[1:], before[:1].expand(CLIPS - 1, -1), atol=1e-4, rtol=1e-4)
    change = (made / power).log()[:, 1:]
    assert (change - change[:1]).abs().max() < 1e-4  # of the whole clip, not of its sounds
    assert change.mean(2).abs().max() < 1e-4  # and as loud as before
    torch.testing.assert_close(colour(100 * power), before, atol=1e-4, rtol=1e-4)
    assert torch.equal(lent(power, 1, 0.0, generator(0, "draws")), power)


def test_a_share_of_it_does_so():
    power = clips().repeat(1, 200, 1)
    made = lent(power, 2, 0.5, generator(1, "draws"))
    moved = (made != power).flatten(2).any(2).any(0)
    assert not moved[:2].any()
    assert 0.36 < float(moved[2:].float().mean()) < 0.47  # a sixth of a half has it already


def test_a_batch_has_the_same_samples_with_it_and_the_data_stay():
    seen = data()
    draw = (seen, torch.tensor([0, 1]), torch.tensor([2, 3, 4, 5]))
    plain = mixed(*draw, generator(0, "batch"), 2)
    other = mixed(*draw, generator(0, "batch"), 2, voice=1.0)
    assert torch.equal(plain[1], other[1])
    assert torch.equal(plain[0][:, :2], other[0][:, :2])
    torch.testing.assert_close(
        other[0], lent(plain[0], 2, 1.0, generator_after(draw)), atol=1e-5, rtol=1e-5
    )
    assert torch.equal(seen.frames, data().frames)
    assert torch.equal(seen.labels, data().labels)


def generator_after(draw):
    """A generator that has dealt the batch of the test above."""
    draws = generator(0, "batch")
    mixed(*draw, draws, 2)  # nothing is augmented, so dealing is all that draws
    return draws


def test_bad_shares_are_refused():
    assert Keep.parse("rehearse=20+learn=readout+voice=0.5") == Keep(20, ("readout",), voice=0.5)
    for text, why in (
        ("rehearse=2+voice=2", "voice: 2.0 is not a share from 0 to 1"),
        ("voice=0.5", "voice: is a share of what is rehearsed; add rehearse=N"),
    ):
        with pytest.raises(UserError, match=why):
            Keep.parse(text)
    with pytest.raises(UserError, match="voice is for sound, which sounds isn't"):
        adapt(None, None, data(), [0, 1], keep=Keep(2, voice=0.5), buffer=[2, 3])
