"""The released frameworks import our files and spike as we do; we import theirs.

Each runs where it is installed, without the PyTorch that it asks for:
`pip install --no-deps nir nirtorch snntorch spikingjelly loguru norse sinabs pbr`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import synaptrace as st
from synaptrace.network import Network
from synaptrace.ship import nir as ship
from test_nir import TIE, dense, maps, rasters, recorded, tie

nir = pytest.importorskip("nir", reason="nir isn't installed")
pytest.importorskip("nirtorch", reason="nirtorch isn't installed")

Step = Callable[..., Any]
LINES = "ignore:.*:DeprecationWarning"


def snntorch(graph: Any, batch: int) -> nn.Module:
    importer = pytest.importorskip("snntorch.import_nir", reason="snnTorch isn't installed")
    found: nn.Module = importer.import_from_nir(graph)
    return found


def spikingjelly(graph: Any, batch: int) -> nn.Module:
    pytest.importorskip("spikingjelly", reason="SpikingJelly isn't installed")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    found: nn.Module = exchange.import_from_nir(graph)
    return found


def norse(graph: Any, batch: int, **options: Any) -> nn.Module:
    library = pytest.importorskip("norse.torch", reason="Norse isn't installed")
    found: nn.Module = library.from_nir(graph, **options)
    return found


def sinabs(graph: Any, batch: int, single: bool = True, hard: bool = False) -> nn.Module:
    importer = pytest.importorskip("sinabs.nir", reason="Sinabs isn't installed")
    from sinabs import activation, layers

    for node in graph.nodes.values():
        if isinstance(node, nir.LIF):
            node.v_leak = np.zeros(1)  # of maps it can't read
    found: nn.Module = importer.from_nir(graph, batch_size=batch, num_timesteps=1)
    for module in found.modules():
        if isinstance(module, layers.LIFSqueeze):
            module.spike_fn = activation.SingleSpike if single else module.spike_fn
            module.reset_fn = activation.MembraneReset() if hard else module.reset_fn
    return found


FRAMEWORKS = {
    "snntorch": snntorch, "spikingjelly": spikingjelly, "norse": norse, "sinabs": sinabs,
}  # fmt: skip


@torch.no_grad()
def run(model: nn.Module, events: Tensor, layers: int) -> tuple[list[Tensor], Tensor]:
    """Spikes of each node LIF, (T, B, …), and what comes out, (T, B, classes)."""
    spikes: list[list[Tensor]] = [[] for _ in range(layers)]
    modules = dict(model.named_modules())

    def watch(i: int) -> Any:
        def hook(module: nn.Module, given: Any, out: Any) -> None:
            spikes[i].append(out[0] if isinstance(out, tuple) else out)

        return hook

    for i in range(layers):
        modules[f"layer{i + 1:02}_lif"].register_forward_hook(watch(i))
    state, outputs = None, []
    for x in events:
        out, state = model(x) if state is None else model(x, state)
        outputs.append(out)
    return [torch.stack(each) for each in spikes], torch.stack(outputs)


def given(net: Network, events: Tensor) -> Tensor:
    return events if len(net.in_shape) == 3 else events.flatten(2)


def logits(net: Network, outputs: Tensor) -> Tensor:
    m = torch.zeros_like(outputs[0])
    for each in outputs:
        m = net.readout_decay * m + each
    return m


NETWORKS: dict[str, Callable[..., Network]] = {
    "dense": dense,
    "recurrent": lambda **neuron: dense(recurrent=True, **neuron),
    "maps": lambda neuron=None: maps(**neuron or {}),
}


@pytest.mark.filterwarnings(LINES)
@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("target", FRAMEWORKS)
def test_a_framework_spikes_as_we_do_step_by_step(kind: str, target: str, tmp_path: Path) -> None:
    if (target, kind) == ("snntorch", "recurrent"):
        pytest.skip("it can't import them")
    net = NETWORKS[kind](neuron={"reset": "soft"} if target == "sinabs" else {})
    ship.write(net, tmp_path / "x.nir", target)
    events = recorded()
    model = FRAMEWORKS[target](nir.read(tmp_path / "x.nir"), events.shape[1])
    spikes, outputs = run(model, given(net, events), 2)
    for its, mine in zip(spikes, rasters(net, events), strict=True):
        assert torch.equal(its, mine)
    with torch.no_grad():
        torch.testing.assert_close(logits(net, outputs), net(events), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings(LINES)
def test_snntorch_cannot_import_recurrent_graphs(tmp_path: Path, capsys: Any) -> None:
    ship.write(dense(recurrent=True), tmp_path / "x.nir", "snntorch")
    with pytest.raises(AttributeError, match="has no attribute 'items'"):
        snntorch(nir.read(tmp_path / "x.nir"), 1)
    assert "can't import recurrent" in ship.about(dense(recurrent=True), "snntorch")


@pytest.mark.filterwarnings(LINES)
@pytest.mark.parametrize("target", FRAMEWORKS)
def test_a_tie_spikes_and_the_next_number_below_does_not(target: str, tmp_path: Path) -> None:
    net = tie(reset="soft" if target == "sinabs" else "hard")
    ship.write(net, tmp_path / "x.nir", target)
    spikes, _ = run(FRAMEWORKS[target](nir.read(tmp_path / "x.nir"), 1), TIE, 1)
    assert torch.equal(spikes[0], rasters(net, TIE)[0])
    assert spikes[0][0].tolist() == [[1.0, 0.0]]


@pytest.mark.filterwarnings(LINES)
@pytest.mark.parametrize(("target", "spikes"), [
    ("snntorch", 0.0), ("norse", 0.0), ("spikingjelly", 1.0), ("sinabs", 1.0),
])  # fmt: skip
def test_who_spikes_at_the_threshold_itself(target: str, spikes: float, tmp_path: Path) -> None:
    """Were it written as it is, two of them wouldn't spike at v = θ."""
    ship.write(tie(reset="soft" if target == "sinabs" else "hard"), tmp_path / "x.nir", target)
    graph = nir.read(tmp_path / "x.nir")
    graph.nodes["layer01_lif"].v_threshold[:] = 1.0
    found, _ = run(FRAMEWORKS[target](graph, 1), TIE, 1)
    assert found[0][0].tolist() == [[spikes, 0.0]]


@pytest.mark.filterwarnings(LINES)
@pytest.mark.parametrize("target", ["snntorch", "spikingjelly", "norse"])
def test_the_generic_file_is_right_in_three_of_them(
    target: str, tmp_path: Path, capsys: Any
) -> None:
    """Norse with dt=1e-4 and without pools; SpikingJelly but for v one number below θ."""
    net, events = dense(), recorded()
    ship.write(net, tmp_path / "x.nir")
    options = {"dt": 1e-4} if target == "norse" else {}
    model = FRAMEWORKS[target](nir.read(tmp_path / "x.nir"), events.shape[1], **options)
    spikes, _ = run(model, given(net, events), 2)
    for its, mine in zip(spikes, rasters(net, events), strict=True):
        assert torch.equal(its, mine)
    assert ("scaling weights" in capsys.readouterr().out) == (target == "snntorch")
    if target == "spikingjelly":
        ship.write(tie(), tmp_path / "x.nir")
        found, _ = run(FRAMEWORKS[target](nir.read(tmp_path / "x.nir"), 1), TIE, 1)
        assert found[0][0].tolist() == [[1.0, 1.0]]
    if target == "norse":
        ship.write(maps(), tmp_path / "x.nir")
        with pytest.raises(KeyError, match="layer01_pool"):
            norse(nir.read(tmp_path / "x.nir"), 1)


@pytest.mark.filterwarnings(LINES)
def test_what_sinabs_needs_by_hand(tmp_path: Path) -> None:
    """Without SingleSpike it spikes several times a step; its reset subtracts unless told."""
    soft = st.mlp(1, [1], 1, neuron=st.LIF(threshold=1.0, decay=0.5))
    hard = ship.with_hard_reset(soft)
    events = torch.tensor([[[1.0]], [[1.0]], [[1.0]], [[0.0]]])
    for net in (soft, hard):
        with torch.no_grad():
            net.layers[0].weight.fill_(2.5)
        ship.write(net, tmp_path / "x.nir", "sinabs")
        graph = nir.read(tmp_path / "x.nir")
        (its,), _ = run(sinabs(graph, 1, hard=net is hard), events, 1)
        assert torch.equal(its, torch.stack(steps(net, events)))
        (many,), _ = run(sinabs(graph, 1, single=False), events, 1)
        assert many.max() == 2
        (subtracts,), _ = run(sinabs(graph, 1), events, 1)
        assert torch.equal(subtracts, its) == (net is soft)
    assert "MembraneReset" in ship.about(hard, "sinabs")
    assert "MembraneReset" not in ship.about(soft, "sinabs")
    graph = nir.NIRGraph.from_list(nir.LIF(*[np.ones((2, 2, 2))] * 4))
    import sinabs.nir as importer

    with pytest.raises(ValueError, match="ambiguous"):  # v_leak of maps
        importer.from_nir(graph, batch_size=1)


@pytest.mark.filterwarnings(LINES)
@pytest.mark.parametrize("target", ["norse", "sinabs"])
def test_who_does_not_read_r(target: str, tmp_path: Path) -> None:
    ship.write(dense(neuron={"reset": "soft"}), tmp_path / "x.nir", "sinabs")
    if target == "norse":
        ship.write(dense(), tmp_path / "x.nir", target)
    graph, events = nir.read(tmp_path / "x.nir"), given(dense(), recorded())
    before, _ = run(FRAMEWORKS[target](graph, events.shape[1]), events, 2)
    graph.nodes["layer01_lif"].r[:] = 7.0
    after, _ = run(FRAMEWORKS[target](graph, events.shape[1]), events, 2)
    assert before[0].any()
    assert torch.equal(before[0], after[0])


@pytest.mark.filterwarnings(LINES)
def test_sinabs_needs_biases_and_a_step_a_call_of_recurrent_networks(tmp_path: Path) -> None:
    events = recorded()
    steps, batch = events.shape[:2]
    for recurrent in (False, True):
        net = dense(neuron={"reset": "soft"}, recurrent=recurrent)
        ship.write(net, tmp_path / "x.nir", "sinabs")
        graph = nir.read(tmp_path / "x.nir")
        model = sinabs(graph, batch)
        for module in model.modules():
            if hasattr(module, "num_timesteps"):
                module.num_timesteps = steps
        whole = given(net, events).transpose(0, 1).flatten(0, 1)  # (B T, inputs)
        found, _ = run(model, whole[None], 1)
        its = found[0].view(batch, steps, -1).transpose(0, 1)
        assert its.any()
        assert torch.equal(its, rasters(net, events)[0]) == (not recurrent)
    graph.nodes["layer01_weight"] = nir.Linear(graph.nodes["layer01_weight"].weight)
    with pytest.raises(AssertionError, match="No input nodes"):
        sinabs(graph, 1)


@pytest.mark.filterwarnings(LINES)
@pytest.mark.parametrize("target", ["snntorch", "spikingjelly", "norse"])
def test_who_keeps_the_state(target: str, tmp_path: Path) -> None:
    """snnTorch's neurons do, until they are reset; the others start anew without it."""
    net, events = dense(), recorded()
    ship.write(net, tmp_path / "x.nir", target)
    model = FRAMEWORKS[target](nir.read(tmp_path / "x.nir"), events.shape[1])
    first, _ = run(model, given(net, events), 2)
    again, _ = run(model, given(net, events), 2)
    assert torch.equal(first[0], again[0]) == (target != "snntorch")
    if target == "snntorch":
        for module in model.modules():
            if hasattr(module, "reset_mem"):
                module.reset_mem()
        assert torch.equal(first[0], run(model, given(net, events), 2)[0][0])


def steps(net: Network, events: Tensor) -> list[Tensor]:
    state, found = net.initial_state(events.shape[1]), []
    with torch.no_grad():
        for x in events:
            _, state = net.step(x, state)
            found.append(state.spikes[0])
    return found


# Files that they write


def theirs(outputs: list[Tensor], path: Path, x: Tensor, **options: Any) -> Network:
    """The network in a file of another, which gives the same currents at each step."""
    net = st.from_nir(path, **options)
    rasters(net, x)  # it spikes
    state = net.initial_state(x.shape[1])
    with torch.no_grad():
        for each, wanted in zip(x, outputs, strict=True):
            before = state.logits
            m, state = net.step(each, state)
            torch.testing.assert_close(m - net.readout_decay * before, wanted, rtol=1e-5, atol=1e-5)
    return net


def events_of(*shape: int) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    return torch.bernoulli(torch.full((12, 4, *shape), 0.4), generator=draws)


def plain(neurons: nn.Module, *, conv: bool = False, pool: Any = None) -> nn.Sequential:
    """20 → neurons (15) → 3, or 2×8×8 → neurons (4×8×8) → pool → 3."""
    torch.manual_seed(0)
    if not conv:
        return nn.Sequential(nn.Linear(20, 15, bias=False), neurons, nn.Linear(15, 3, bias=False))
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False), neurons, pool, nn.Flatten(),
        nn.Linear(64, 3, bias=False),
    )  # fmt: skip


@pytest.mark.filterwarnings(LINES)
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky", "maps"])
def test_files_of_snntorch(kind: str, tmp_path: Path) -> None:
    snn = pytest.importorskip("snntorch", reason="snnTorch isn't installed")
    from snntorch.export_nir import export_to_nir

    shape = (4, 8, 8) if kind == "maps" else (15,)
    options = {
        "beta": torch.full(shape, 0.9), "threshold": torch.full(shape, 0.3), "init_hidden": True,
        "reset_mechanism": "zero", "reset_delay": False,
    }  # fmt: skip
    if kind == "Synaptic":
        options["alpha"] = torch.zeros(shape)
    if kind == "RLeaky":
        options |= {"beta": 0.9, "threshold": 0.3, "linear_features": 15}
    neurons = getattr(snn, "Leaky" if kind == "maps" else kind)(**options)
    if kind == "RLeaky":
        nn.init.zeros_(neurons.recurrent.bias)
    x = events_of(*((2, 8, 8) if kind == "maps" else (20,)))
    model = plain(neurons, conv=kind == "maps", pool=nn.AvgPool2d(2))
    nir.write(tmp_path / "x.nir", export_to_nir(model, x[0], ignore_dims=[0]))
    neurons.reset_mem()
    with torch.no_grad():
        outputs = [model(each) for each in x]
    net = theirs(outputs, tmp_path / "x.nir", x, source="snntorch")
    assert (net.layers[0].recurrent is not None) == (kind == "RLeaky")


@pytest.mark.filterwarnings(LINES)
def test_snntorch_writes_both_resets_alike() -> None:
    snn = pytest.importorskip("snntorch", reason="snnTorch isn't installed")
    from snntorch.export_nir import export_to_nir

    said = []
    for reset in ("zero", "subtract"):
        neurons = snn.Leaky(
            beta=torch.full((15,), 0.9), threshold=torch.full((15,), 0.3), init_hidden=True,
            reset_mechanism=reset,
        )  # fmt: skip
        graph = export_to_nir(plain(neurons), torch.zeros(1, 20), ignore_dims=[0])
        said.append({key: np.asarray(v).tolist() for key, v in graph.to_dict()["nodes"]["1"].items()
                     if key != "metadata"})  # fmt: skip
    assert said[0] == said[1]
    assert said[0]["v_reset"] == [0.0] * 15


@pytest.mark.filterwarnings(LINES)
@pytest.mark.parametrize("kind", ["LIFNode", "decay_input", "CUBALIFNode", "maps"])
def test_files_of_spikingjelly(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("spikingjelly", reason="SpikingJelly isn't installed")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    from spikingjelly.activation_based import functional, neuron

    if kind == "CUBALIFNode":
        neurons = neuron.CUBALIFNode(c_decay=0.0, v_decay=0.75, v_threshold=0.3, v_reset=0.0)
    else:
        scaled = kind == "decay_input"
        neurons = neuron.LIFNode(tau=4.0, decay_input=scaled, v_threshold=0.1 if scaled else 0.3)
    x = events_of(*((2, 8, 8) if kind == "maps" else (20,)))
    model = plain(neurons, conv=kind == "maps", pool=nn.AvgPool2d(2))
    exchange.export_to_nir(model, x[0], tmp_path / "x.nir")
    functional.reset_net(model)
    with torch.no_grad():
        outputs = [model(each) for each in x]
    net = theirs(outputs, tmp_path / "x.nir", x, source="spikingjelly")
    assert net.layers[0].neuron.beta == pytest.approx(0.75)


@pytest.mark.filterwarnings(LINES)
def test_files_of_sinabs(tmp_path: Path) -> None:
    pytest.importorskip("sinabs", reason="Sinabs isn't installed")
    from sinabs import activation, layers
    from sinabs import nir as exchange

    neurons = layers.LIFSqueeze(
        tau_mem=torch.full((15,), 5.0), spike_threshold=torch.full((15,), 0.4), norm_input=False,
        batch_size=4, num_timesteps=1, spike_fn=activation.SingleSpike,
    )  # fmt: skip
    model, x = plain(neurons), events_of(20)
    model(x[0])
    nir.write(tmp_path / "x.nir", exchange.to_nir(model, x[0]))
    neurons.reset_states()
    with torch.no_grad():
        outputs = [model(each) for each in x]
    theirs(outputs, tmp_path / "x.nir", x, source="sinabs")


@pytest.mark.filterwarnings(LINES)
def test_files_of_norse_state_another_time_step(tmp_path: Path) -> None:
    """Norse 1.1.0 writes τ dt for τ, so that the step of its files is dt², 1e-6."""
    library = pytest.importorskip("norse.torch", reason="Norse isn't installed")
    settings = library.LIFBoxParameters(
        tau_mem_inv=torch.full((15,), 250.0), v_th=torch.full((15,), 0.1), v_leak=torch.zeros(15)
    )
    torch.manual_seed(0)
    model = library.SequentialState(
        nn.Linear(20, 15, bias=False), library.LIFBoxCell(settings), nn.Linear(15, 3, bias=False)
    )
    x = events_of(20)
    nir.write(tmp_path / "x.nir", library.to_nir(model, x[0, 0]))
    state, outputs = None, []
    with torch.no_grad():
        for each in x:
            out, state = model(each, state)
            outputs.append(out)
    with pytest.raises(st.errors.UserError, match="shorter than a step"):
        st.from_nir(tmp_path / "x.nir", source="norse")
    net = theirs(outputs, tmp_path / "x.nir", x, source="norse", dt=1e-6)
    assert net.layers[0].neuron.beta == pytest.approx(0.75)
