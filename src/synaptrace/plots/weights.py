"""What the first layer's neurons look for: their weights as the sensor's image."""

from __future__ import annotations

from pathlib import Path

from synaptrace.drawing import figure, save
from synaptrace.errors import UserError
from synaptrace.network import Network


def filters(net: Network, path: Path) -> Path:
    """The kernels of the first layer, a convolution.

    Raises:
        UserError: a dense network.
    """
    weight = net.layers[0].forward_weight().detach().float().cpu()
    if weight.dim() == 2:
        raise UserError("plot filters: the first layer is dense; only a convolution has filters")
    shown = min(len(weight), 64)
    columns, channels = min(16, shown), weight.shape[1]
    rows = -(-shown // columns) * channels
    picture = figure(0.55 * columns + 0.6, 0.6 * rows + 0.6)
    grid = picture.subplots(rows, columns, squeeze=False)
    bound = float(weight.abs().max()) or 1.0
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        unit, channel = row // channels * columns + column, row % channels
        axis = grid[row][column]
        axis.set_axis_off()
        if unit < shown:
            axis.imshow(weight[unit, channel], cmap="RdBu_r", vmin=-bound, vmax=bound)
    picture.suptitle(
        f"first layer: {shown} of {len(weight)} filters, input channels below one another",
        fontsize=8,
    )
    return save(picture, path)
