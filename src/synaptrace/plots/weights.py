"""What the first layer's neurons look for: their weights as the sensor's image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synaptrace.drawing import figure, save
from synaptrace.network import Network

MOST = 64
"""Neurons or filters of a picture."""


def filters(net: Network, path: Path, shape: tuple[int, ...] | None = None) -> Path:
    """The weights of the first layer's neurons, as the sensor sees: red excites, blue inhibits.

    Args:
        shape: of one step of a sample, (channels, rows, columns); None, or a line of numbers: a
            dense network's weights are drawn in a line.
    """
    weight = net.layers[0].forward_weight().detach().float().cpu()
    dense = weight.dim() == 2
    if dense:
        maps = shape is not None and len(shape) == 3
        weight = weight.reshape(len(weight), *(shape if maps and shape else (1, 1, -1)))
    shown, channels = min(len(weight), MOST), weight.shape[1]
    names = polarities(channels) if dense and weight.shape[2] > 1 else [""] * channels
    beside = dense and channels == 2  # ON and OFF of a neuron side by side
    across = min(8 if beside else 16, shown)
    wide, tall = (across * channels, 1) if beside else (across, channels)
    rows = -(-shown // across)
    picture = figure(max(0.6 * wide + 1.2, 4), max(0.66 * rows * tall + 0.8, 2))
    grid = picture.subplots(rows * tall, wide, squeeze=False)
    bound = float(weight.abs().max()) or 1.0
    drawn: Any = None
    for axis in grid.flat:
        axis.set_axis_off()
    for unit in range(shown):
        row, column = divmod(unit, across)
        for channel in range(channels):
            place = (row, column * channels + channel) if beside else (row * tall + channel, column)
            axis = grid[place]
            flat = weight.shape[2] == 1
            one = weight[unit, channel].numpy()
            drawn = axis.imshow(one, cmap="RdBu_r", vmin=-bound, vmax=bound,
                                aspect="auto" if flat else "equal")  # fmt: skip
            if row == 0 and names[channel]:
                axis.set_title(names[channel], fontsize=6, pad=2)
    picture.colorbar(drawn, ax=grid, shrink=0.8, label="weight")
    kind = "neurons" if dense else "filters"
    below = "" if beside or channels == 1 else ", input channels below one another"
    picture.suptitle(f"first layer: {shown} of {len(weight)} {kind}{below}", fontsize=8)
    return save(picture, path)


def polarities(channels: int) -> list[str]:
    """Names of an event camera's channels, which are OFF and ON in turn; none for others."""
    return ["OFF", "ON"] * (channels // 2) if channels % 2 == 0 else [""] * channels
