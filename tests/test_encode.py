"""Spike encodings: what they say of the signal, and that a stream may be cut anywhere."""

import pytest
import torch

from synaptrace.data.audio.encode import LEAK, delta, lif
from synaptrace.seeds import generator


def signal(steps: int = 60) -> torch.Tensor:
    return torch.randn(steps, 2, 5, generator=generator(0, "signal")).cumsum(0) / 3


def test_the_events_of_level_crossing_give_the_signal_back_to_within_a_threshold():
    x, threshold = signal(), 0.3
    counts, level = delta(x, threshold)
    assert counts.shape == (60, 2, 10)
    on, off = counts.split(5, -1)
    assert on.sum() > 50
    assert off.sum() > 50
    assert (on * off == 0).all()
    rebuilt = x[0] + threshold * (on - off).cumsum(0)
    assert (rebuilt - x).abs().max() < threshold + 1e-5
    torch.testing.assert_close(rebuilt[-1], level)


def test_the_filter_bank_fires_as_often_as_its_drive_lets_it():
    x = torch.zeros(200, 3)
    x[:, 1], x[:, 2] = 0.1, -5.0
    counts, _ = lif(x, 0.3)
    assert counts[:, [0, 2]].sum() == 0
    v, expected = 0.0, []
    for _ in range(200):
        v = LEAK * v + 0.1
        n = v // 0.3
        v -= n * 0.3
        expected.append(n)
    assert sum(expected) > 20
    assert counts[:, 1].tolist() == expected
    strong, _ = lif(torch.full((10, 1), 3.0), 0.3)
    assert strong.min() >= 9  # several spikes in one step


@pytest.mark.parametrize("encoder", [delta, lif])
@pytest.mark.parametrize("cut", [1, 7, 59])
def test_a_stream_may_be_cut_anywhere(encoder, cut):
    x = signal()
    whole, end = encoder(x, 0.4)
    first, state = encoder(x[:cut], 0.4)
    second, last = encoder(x[cut:], 0.4, state)
    assert whole.sum() > 50
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(last, end)
