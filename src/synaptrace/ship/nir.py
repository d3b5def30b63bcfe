"""A network as a graph of NIR, the neuromorphic intermediate representation, for other frameworks.

    input → weight → lif [⇄ recurrent] [→ pool] → … [→ flatten] → readout → output

What comes out at the end are the readout's currents W_o s of a step; its membrane,
m^t = α m^{t-1} + W_o s^t, is left to whoever runs the file, and α is in the metadata
("readout_decay"). NIR has no subtractive reset, no adaptive threshold and no maximum.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synaptrace import __version__
from synaptrace.data.dataset import Dataset
from synaptrace.errors import UserError
from synaptrace.files import replace_atomic
from synaptrace.keyword import reopen
from synaptrace.layers import Conv, Layer
from synaptrace.network import Network
from synaptrace.ship import Options, alike
from synaptrace.ship.dialects import Dialect, dialect
from synaptrace.training.evaluate import evaluate
from synaptrace.training.job import Trained

Array = NDArray[Any]


def export(trained: Trained, out: Path, options: Options) -> str:
    """Write the network of a run for ``options.target``; returns what is printed.

    Raises:
        UserError: NIR, or the target, can't say what the network does; no nir; an unknown target.
    """
    options.accept("nir", "target", "reset_as")
    net, lines = trained.net, []
    if options.reset_as not in (None, "hard"):
        raise UserError(f"--reset-as: {options.reset_as!r} is not 'hard', the only other one")
    if options.reset_as == "hard" and soft(net):
        net = with_hard_reset(net)
        check(net, dialect(options.target), options.target)  # before what takes its time
        lines.append(price(trained.net, net, reopen.load_data(trained)))
    write(net, out, options.target)
    lines.append(f"{out}: {options.target}; {about(net, options.target)}")
    return "\n".join(lines)


def about(net: Network, target: str) -> str:
    """What whoever imports the file of ``net`` should know."""
    said = [dialect(target).note] if dialect(target).note else []
    if target == "snntorch" and net.layers[0].recurrent is not None:
        said.append("snnTorch 1.0.0 with nirtorch 2.6 can't import recurrent graphs")
    if target == "sinabs":
        if net.layers[0].recurrent is not None:
            said.append("recurrent, so num_timesteps=1, a step a call with the state given back")
        if len(net.in_shape) > 1:
            said.append("of maps, set v_leak = numpy.zeros(1) of each nir.LIF before")
        if not soft(net):
            said.append("and reset_fn = sinabs.activation.MembraneReset(), as the reset is hard")
    said.append(f"logits are m = {net.readout_decay:g} m + output, a step")
    return "; ".join(said)


def soft(net: Network) -> bool:
    """Whether spikes subtract the threshold."""
    return net.layers[0].neuron.reset == "soft"


def with_hard_reset(net: Network) -> Network:
    """A copy of ``net`` whose spikes set the membrane to zero."""
    hard = copy.deepcopy(net)
    for layer in [*hard.layers, hard.readout]:
        layer.neuron = replace(layer.neuron, reset="hard")
    hard.spec = {**net.spec, "neuron": {**net.spec["neuron"], "reset": "hard"}}
    return hard


def price(before: Network, after: Network, data: Dataset) -> str:
    """What the other reset costs, in words: both accuracies on the validation samples."""
    old, new = (evaluate(net, data.batches("validation")) for net in (before, after))
    if old.accuracy is None or new.accuracy is None:
        return "hard reset: no validation samples to measure what it costs"
    advice = "; train with --neuron.reset hard to lose less"
    return (
        f"hard reset: {100 * new.accuracy:.2f} % on validation ({new.samples} samples), "
        f"{100 * old.accuracy:.2f} % with the reset that it was trained with"
        f"{advice if new.accuracy < old.accuracy else ''}"
    )


def write(net: Network, path: str | Path, target: str = "generic") -> None:
    """Write ``net`` to ``path`` as ``target``'s importer reads it.

    Raises:
        UserError: NIR, or the target, can't say what the network does; no nir; an unknown target;
            the file can't be written.
    """
    try:
        import nir
    except ImportError as error:
        raise UserError("--to nir: needs nir: pip install 'synaptrace[nir]'") from error
    made = graph(net, target)
    replace_atomic(path, lambda temporary: nir.write(temporary, made))


def graph(net: Network, target: str = "generic") -> Any:
    """The `nir.NIRGraph` of ``net`` as ``target``'s importer reads it. Raises as `write` does."""
    import nir

    speech = dialect(target)
    check(net, speech, target)
    nodes: dict[str, Any] = {"input": nir.Input(input_type=np.array(net.in_shape))}
    edges: list[tuple[str, str]] = []

    def add(name: str, node: Any, after: str) -> str:
        nodes[name] = node
        edges.append((after, name))
        return name

    last, count = "input", 1.0
    for i, layer in enumerate(net.layers, 1):
        beta = layer.neuron.beta
        by = count * speech.divisor(beta)
        last = add(f"layer{i:02}_weight", weights(layer, by, speech), last)
        last = add(f"layer{i:02}_lif", neurons(layer, speech), last)
        if layer.recurrent is not None:
            matrix = divided(layer.recurrent, speech.divisor(beta))
            back = add(f"layer{i:02}_recurrent", product(matrix, speech), last)
            edges.append((back, last))
        count = 1.0
        if isinstance(layer, Conv) and layer.kind != "none":
            node, count = pool(layer, speech)
            last = add(f"layer{i:02}_pool", node, last)
    if len(net.layers[-1].out_shape) > 1:  # from the end, so that it holds with a batch or without
        shape = {"input": np.array(net.layers[-1].out_shape)}
        last = add("flatten", nir.Flatten(input_type=shape, start_dim=-3, end_dim=-1), last)
    last = add("readout", product(divided(net.readout.forward_weight(), count), speech), last)
    add("output", nir.Output(output_type=np.array([net.classes])), last)
    metadata = {
        "writer": f"synaptrace {__version__}",
        "target": target,
        "dt": speech.dt,
        "readout_decay": net.readout_decay,
        "network": json.dumps(net.spec, sort_keys=True),
    }
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=metadata)


def check(net: Network, speech: Dialect, target: str) -> None:
    """Raises UserError, naming the setting or layer, where NIR or the target can't say it."""
    alike.check(net, "nir")
    if net.adaptive:
        raise UserError("neuron.adaptation: NIR has no adaptive threshold; train with 0")
    if soft(net) and not speech.subtracts:
        raise UserError(
            f"neuron.reset: soft, and NIR's reset is hard; --target {target} needs --reset-as "
            "hard, which measures what it costs, or a network trained with --neuron.reset hard"
        )
    if net.spec.get("precision", "float32") != "float32":
        raise UserError("model.precision: bfloat16, and the frameworks compute in float32")
    if net.layers[0].neuron.threshold <= 0:
        raise UserError("neuron.threshold: not positive, and NIR's neurons rest at 0 below it")
    for i, layer in enumerate(net.layers):
        if not 0 < layer.neuron.beta < 1:
            raise UserError(
                f"neuron.decay: {layer.neuron.beta:g} in layer {i} has no time constant"
            )
        if isinstance(layer, Conv) and layer.kind == "max":
            raise UserError(f"layer {i}: a maximum pool, and NIR has none; train with avg")
        if isinstance(layer, Conv) and layer.kind == "aavg":
            kernel(layer, i)


def kernel(layer: Conv, number: int = 0) -> tuple[int, int]:
    """Rows and columns that an average pool takes together. Raises UserError if they overlap."""
    if layer.kind != "aavg":
        return layer.size, layer.size
    height, width = layer.shape[1:]
    if height % layer.size or width % layer.size:
        raise UserError(
            f"layer {number}: an adaptive average of {height}×{width} to {layer.size}×"
            f"{layer.size} is uneven, and NIR has none"
        )
    return height // layer.size, width // layer.size


def divided(weight: Tensor, by: float) -> Array:
    """weight / by, in float64 unless it is as it was, so that the way back is exact."""
    plain = weight.detach().to("cpu", torch.float32).contiguous().numpy()
    return plain if by == 1 else plain.astype(np.float64) / by


def product(matrix: Array, speech: Dialect) -> Any:
    """A dense node."""
    import nir

    if speech.affine:
        return nir.Affine(weight=matrix, bias=np.zeros(len(matrix), matrix.dtype))
    return nir.Linear(weight=matrix)


def weights(layer: Layer, by: float, speech: Dialect) -> Any:
    """The node of a layer's weights as the forward pass uses them, divided."""
    import nir

    matrix = divided(layer.forward_weight(), by)
    if not isinstance(layer, Conv):
        return product(matrix, speech)
    return nir.Conv2d(
        input_shape=layer.shape[1:],
        weight=matrix,
        stride=(1, 1),
        padding=(1, 1),
        dilation=(1, 1),
        groups=1,
        bias=np.zeros(len(matrix), matrix.dtype),
    )


def neurons(layer: Layer, speech: Dialect) -> Any:
    """The node of a layer's neurons, each parameter of the layer's full shape."""
    import nir

    beta, zeros = layer.neuron.beta, np.zeros(layer.shape, np.float32)
    return nir.LIF(
        tau=np.full(layer.shape, speech.tau(beta)),
        r=np.full(layer.shape, speech.r(beta)),
        v_leak=zeros,
        v_threshold=np.full(layer.shape, speech.threshold(layer.neuron.threshold)),
        v_reset=zeros.copy(),
    )


def pool(layer: Conv, speech: Dialect) -> tuple[Any, float]:
    """The node of an average pool, and what the next weights are divided by."""
    import nir

    size = np.array(kernel(layer))
    kind = nir.SumPool2d if speech.sums else nir.AvgPool2d
    node = kind(kernel_size=size, stride=size.copy(), padding=np.zeros(2, int))
    return node, float(size.prod()) if speech.sums else 1.0
