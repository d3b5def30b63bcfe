"""NIR files: what is written means what the network does, comes back bit for bit, or is refused."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nir_files as files
import synaptrace as st
from synaptrace import cli
from synaptrace.config import resolve
from synaptrace.data.sets import digits
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.ship import nir as ship
from synaptrace.ship.dialects import DIALECTS
from synaptrace.training import job

nir = pytest.importorskip("nir", reason="nir isn't installed")
pytest.importorskip("h5py", reason="h5py isn't installed")

POOLS = [(5, ("avg", 2)), (4, ("aavg", 2))]


def dense(seed: int = 0, **options: Any) -> Network:
    neuron = {"threshold": 0.7, "decay": (0.9, 0.77), "trace_decay": 0.5, "reset": "hard"}
    settings = st.LIF(**neuron | options.pop("neuron", {}))
    draws = torch.Generator().manual_seed(seed)
    options = {"gain": 3.0, "readout_decay": 0.95} | options
    return st.mlp(512, [20, 15], 4, neuron=settings, generator=draws, **options)


def maps(pools: Any = POOLS, **neuron: Any) -> Network:
    settings = st.LIF(**{"threshold": 0.5, "decay": 0.77, "reset": "hard"} | neuron)
    draws = torch.Generator().manual_seed(0)
    return st.conv(
        pools, in_shape=(2, 16, 16), classes=4, neuron=settings, gain=3.0, generator=draws
    )


NETWORKS = {
    "dense": dense,
    "recurrent": lambda: dense(recurrent=True),
    "standardised": lambda: dense(standardise=True),
    "maps": maps,
    "threes": lambda: maps([(5, ("avg", 3)), (4, ("none", 1))]),
}


@cache
def recorded() -> torch.Tensor:
    """Real events: digits, (30, 8, 2, 16, 16)."""
    events, _, _ = next(iter(digits.load(batch_size=8).batches("validation")))
    return events


def rasters(net: Network, events: torch.Tensor) -> list[torch.Tensor]:
    """Spikes of each hidden layer, (T, B, …); fails where one is silent."""
    state, spikes = net.initial_state(events.shape[1]), []
    with torch.no_grad():
        for x in events:
            _, state = net.step(x, state)
            spikes.append(state.spikes)
    made = [torch.stack(each) for each in zip(*spikes, strict=True)]
    assert all(0.005 < each.mean() < 0.9 for each in made)
    return made


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("target", DIALECTS)
def test_a_network_comes_back_bit_for_bit(kind: str, target: str, tmp_path: Path) -> None:
    net = NETWORKS[kind]()
    ship.write(net, tmp_path / "x.nir", target)
    back = st.from_nir(tmp_path / "x.nir")
    assert back.spec["neuron"] == net.spec["neuron"]
    assert (back.readout_decay, back.gain, back.in_shape) == (
        net.readout_decay, net.gain, net.in_shape,
    )  # fmt: skip
    mine = [*(layer.forward_weight() for layer in net.layers), net.readout.forward_weight()]
    its = [*(layer.forward_weight() for layer in back.layers), back.readout.forward_weight()]
    mine += [layer.recurrent for layer in net.layers if layer.recurrent is not None]
    its += [layer.recurrent for layer in back.layers if layer.recurrent is not None]
    assert len(mine) == len(its)
    assert all(torch.equal(a, b) for a, b in zip(mine, its, strict=True))
    events = recorded()
    for a, b in zip(rasters(net, events), rasters(back, events), strict=True):
        assert torch.equal(a, b)


def euler(graph: Any, dt: float, events: np.ndarray) -> dict[str, np.ndarray]:
    """NIR's equations, literally, in float64: spikes of each node LIF, (T, B, …)."""
    states: dict[str, Any] = {}
    spikes: dict[str, list[np.ndarray]] = {}
    order = {"input": None}
    while len(order) < len(graph.nodes):
        order |= {  # a node after all before it, but neurons needn't wait for their own spikes
            b: None for _, b in graph.edges
            if all(p in order or (b.endswith("lif") and (b, p) in graph.edges)
                   for p, q in graph.edges if q == b)
        }  # fmt: skip
    out: dict[str, np.ndarray] = {}
    for x in events:
        before, out = out, {}
        for name in order:
            node = graph.nodes[name]
            kind = type(node).__name__
            given = [out.get(p, before.get(p)) for p, q in graph.edges if q == name]
            given = [each for each in given if each is not None]
            i: Any = sum(given) if given else x
            if kind in ("Linear", "Affine"):
                i = i @ node.weight.T + getattr(node, "bias", 0)
            elif kind == "Conv2d":
                made = torch.nn.functional.conv2d(
                    torch.from_numpy(i), torch.from_numpy(node.weight).double(), padding=1
                )
                i = made.numpy()
            elif kind == "LIF":
                v = states.get(name, np.broadcast_to(node.v_leak, i.shape).astype(float))
                v = v + dt / node.tau * (node.v_leak - v + node.r * i)
                i = (v > node.v_threshold).astype(float)
                states[name] = np.where(i == 1, node.v_reset, v)
                spikes.setdefault(name, []).append(i)
            elif kind in ("AvgPool2d", "SumPool2d"):
                size = tuple(node.kernel_size)
                i = torch.nn.functional.avg_pool2d(torch.from_numpy(i), size).numpy()
                i = i * np.prod(size) if kind == "SumPool2d" else i
            elif kind == "Flatten":
                i = i.reshape(len(i), -1)
            out[name] = i
    return {name: np.stack(each) for name, each in spikes.items()}


@pytest.mark.parametrize("target", ["generic", "snntorch", "norse", "lava"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_nirs_own_equations_give_our_spikes(kind: str, target: str, tmp_path: Path) -> None:
    net, events = NETWORKS[kind](), recorded()
    ship.write(net, tmp_path / "x.nir", target)
    graph = nir.read(tmp_path / "x.nir")  # checks its types
    given = events if len(net.in_shape) == 3 else events.flatten(2)
    found = euler(graph, graph.metadata["dt"], given.double().numpy())
    for (_, its), mine in zip(sorted(found.items()), rasters(net, events), strict=True):
        assert np.array_equal(its, mine.numpy())


def tie(**neuron: Any) -> Network:
    """One neuron that comes to its threshold exactly, and one that stays the least below it."""
    settings = st.LIF(**{"threshold": 1.0, "decay": 0.5, "reset": "hard"} | neuron)
    net = st.mlp(1, [2], 1, neuron=settings)
    least = np.nextafter(np.float32(1), np.float32(0))
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.tensor([[1.0], [float(least)]]))
        net.readout.weight.fill_(1.0)
    return net


TIE = torch.tensor([[[1.0]], [[1.0]]])


def test_a_tie_spikes_by_nirs_equations(tmp_path: Path) -> None:
    mine = torch.stack([*rasters(tie(), TIE)[0]])
    assert mine[0].tolist() == [[1.0, 0.0]]
    ship.write(tie(), tmp_path / "x.nir")
    graph = nir.read(tmp_path / "x.nir")
    found = euler(graph, graph.metadata["dt"], TIE.double().numpy())["layer01_lif"]
    assert found[0].tolist() == [[1.0, 0.0]]
    graph.nodes["layer01_lif"].v_threshold[:] = 1.0  # as it would be without the next number
    found = euler(graph, graph.metadata["dt"], TIE.double().numpy())["layer01_lif"]
    assert found[0].tolist() == [[0.0, 0.0]]


def test_what_a_file_holds(tmp_path: Path) -> None:
    ship.write(maps(), tmp_path / "x.nir", "snntorch")
    graph = nir.read(tmp_path / "x.nir")
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert kinds == {
        "input": "Input", "layer01_weight": "Conv2d", "layer01_lif": "LIF",
        "layer01_pool": "AvgPool2d", "layer02_weight": "Conv2d", "layer02_lif": "LIF",
        "layer02_pool": "AvgPool2d", "flatten": "Flatten", "readout": "Linear", "output": "Output",
    }  # fmt: skip
    lif = graph.nodes["layer02_lif"]
    for key in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        assert getattr(lif, key).shape == (4, 8, 8)
    assert graph.metadata["readout_decay"] == 1.0
    assert graph.metadata["dt"] == 1e-4
    assert json.loads(graph.metadata["network"])["neuron"]["decay"] == 0.77


@pytest.mark.parametrize(("net", "target", "says"), [
    (lambda: dense(neuron={"reset": "soft"}), "norse", "--reset-as hard"),
    (lambda: dense(neuron={"adaptation": 0.1}), "sinabs", "neuron.adaptation"),
    (lambda: dense(neuron={"decay": 1.0}), "generic", "neuron.decay: 1 in layer 0"),
    (lambda: dense(neuron={"decay": (0.9, 0.0)}), "generic", "neuron.decay: 0 in layer 1"),
    (lambda: dense(neuron={"threshold": 0.0}), "generic", "neuron.threshold"),
    (lambda: dense(precision="bfloat16"), "generic", "model.precision"),
    (lambda: maps([(5, ("none", 1)), (4, ("max", 2))]), "lava", "layer 1: a maximum pool"),
    (lambda: maps([(5, ("aavg", 3))]), "generic", "layer 0: an adaptive average"),
    (dense, "loihi", "--target: 'loihi' is none of generic"),
])  # fmt: skip
def test_what_nir_has_not_is_refused(net: Any, target: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        ship.write(net(), tmp_path / "x.nir", target)
    assert not list(tmp_path.iterdir())


def test_without_the_package_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(UserError, match=r"pip install 'synaptrace\[nir\]'"):
        ship.write(dense(), tmp_path / "x.nir")


def test_sinabs_takes_the_soft_reset(tmp_path: Path) -> None:
    net = dense(neuron={"reset": "soft"})
    ship.write(net, tmp_path / "x.nir", "sinabs")
    assert st.from_nir(tmp_path / "x.nir").spec == net.spec


def test_the_verb(tmp_path: Path, capsys: Any) -> None:
    settings = {"model.hidden": "[20]", "train.epochs": "1", "train.update": "sequence"}
    config = resolve(preset="digits", overrides=settings)
    place, _ = job.start(config, root=tmp_path, progress=False)
    run, out = str(place), str(tmp_path / "x.nir")
    words = ["export", run, "--to", "nir", "--target", "spikingjelly", "--out", out]
    assert cli.main(words) == 2
    assert "--reset-as hard" in capsys.readouterr().err
    assert not Path(out).exists()
    assert cli.main([*words, "--reset-as", "hard"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("hard reset: ")
    assert "% on validation (270 samples)" in said
    assert "import_from_nir" in said
    back = st.from_nir(out)
    assert back.layers[0].neuron.reset == "hard"
    assert torch.equal(back.layers[0].weight, st.load(run).layers[0].weight)
    for wrong, says in ((["--reset-as", "soft"], "--reset-as"), (["--learn", "all"], "--learn"),
                        (["--target", "nengo"], "--target")):  # fmt: skip
        assert cli.main([*words, *wrong]) == 2
        assert says in capsys.readouterr().err


def test_what_the_hard_reset_costs_is_measured() -> None:
    """Of a network whose answer hangs on the reset."""
    net = st.mlp(1, [1], 2, neuron=st.LIF(threshold=1.0, decay=0.5))
    with torch.no_grad():
        net.layers[0].weight.fill_(1.75)
        net.readout.weight.copy_(torch.tensor([[1.0], [-1.0]]))
    hard = ship.with_hard_reset(net)
    assert net.layers[0].neuron.reset == "soft"
    events = torch.zeros(3, 1, 1)
    events[0] = 1.0
    events[1] = 0.4  # 0.7 now, and 0.375 left by the soft reset
    assert rasters(net, events)[0].sum() == 2
    assert rasters(hard, events)[0].sum() == 1

    class Data:
        def batches(self, split: str) -> Any:
            assert split == "validation"
            yield events, torch.tensor([0]), None

    said = ship.price(net, hard, Data())  # type: ignore[arg-type]
    assert "100.00 % on validation (1 samples)" in said
    assert "lose less" not in said
    with torch.no_grad():
        hard.readout.weight.neg_()
    said = ship.price(net, hard, Data())  # type: ignore[arg-type]
    assert "hard reset: 0.00 %" in said
    assert "to lose less" in said


def others(change: Any, base: str = "nodes", edges: Any = None) -> Any:
    """A file that another program wrote, with a change in its nodes."""

    def make(path: Path) -> Path:
        made = getattr(files, base)()
        change(made)
        usual = files.EDGES if base == "nodes" else files.MAP_EDGES
        return files.write(path, made, edges or usual)

    return make


def put(name: str, node: dict[str, Any]) -> Any:
    return lambda made: made.__setitem__(name, node)


CUBA = {"type": "CubaLIF", "tau_mem": 4e-4, "tau_syn": 1e-4, "w_in": 1.0}


@pytest.mark.parametrize("node", [
    files.lif(5), files.lif(5, **CUBA), files.lif(5, **CUBA | {"w_in": 2.0, "r": 2.0}),
    files.lif(5, r=8.0),
])  # fmt: skip
def test_neurons_of_others_do_as_nir_says(node: dict[str, Any], tmp_path: Path) -> None:
    path = others(put("lif", node))(tmp_path / "x.nir")
    net = st.from_nir(path)
    events = torch.from_numpy(np.random.default_rng(1).random((20, 4, 6)) < 0.5).float()
    graph = nir.read(path)
    inside = graph.nodes["lif"]
    if node["type"] == "CubaLIF":  # whose synapse keeps nothing
        r = inside.r * inside.w_in
        graph.nodes["lif"] = nir.LIF(
            tau=inside.tau_mem, r=r, v_leak=inside.v_leak, v_threshold=inside.v_threshold
        )
    found = euler(graph, 1e-4, events.double().numpy())["lif"]
    assert np.array_equal(found, rasters(net, events)[0].numpy())
    assert net.layers[0].neuron.reset == "hard"


def test_a_recurrent_graph_within_a_graph(tmp_path: Path) -> None:
    net = st.from_nir(files.chain(tmp_path / "x.nir"))
    assert torch.equal(net.layers[0].recurrent, torch.from_numpy(files.linear(5, 5, 1)["weight"]))


def test_a_leaky_integrator_at_the_end_is_the_readout(tmp_path: Path) -> None:
    leaky = {"type": "LI", "tau": np.full(3, 2e-4), "r": np.ones(3), "v_leak": np.zeros(3)}
    edges = files.line("input", "w", "lif", "out", "li", "output")
    net = st.from_nir(others(put("li", leaky), edges=edges)(tmp_path / "x.nir"))
    assert net.readout_decay == pytest.approx(0.5)
    weight = torch.from_numpy(files.linear(3, 5)["weight"])
    torch.testing.assert_close(net.readout.weight, weight / 2)


def test_a_sum_is_an_average_and_larger_weights(tmp_path: Path) -> None:
    average = st.from_nir(others(lambda made: None, "maps")(tmp_path / "a.nir"))
    total = st.from_nir(others(put("pool", files.pool("SumPool2d")), "maps")(tmp_path / "b.nir"))
    assert torch.equal(total.readout.weight, average.readout.weight * 4)
    assert average.layers[0].kind == total.layers[0].kind == "avg"


def test_files_of_another_program_are_read_by_its_own_rules(tmp_path: Path) -> None:
    path = others(put("lif", files.lif(5, tau=5.0, r=1.0)))(tmp_path / "x.nir")
    net = st.from_nir(path, source="sinabs")
    assert net.layers[0].neuron.beta == pytest.approx(np.exp(-0.2))
    assert (net.layers[0].neuron.reset, net.layers[0].neuron.threshold) == ("soft", 0.5)
    assert st.from_nir(path, dt=1.0).layers[0].neuron.beta == pytest.approx(0.8)
    with pytest.raises(UserError, match="source: 'nest' is none of"):
        st.from_nir(path, source="nest")
    with pytest.raises(UserError, match="dt: 0 is not a positive"):
        st.from_nir(path, dt=0)


RECURRENT_EDGES = [*files.EDGES, ("lif", "rec"), ("rec", "lif")]
REFUSED = {
    "bias": (others(put("w", files.linear(5, 6, type="Affine", bias=np.ones(5)))), "'w'.*bias"),
    "reset": (others(put("lif", files.lif(5, v_reset=-0.5))), "'lif'.*v_reset is not 0"),
    "leak": (others(put("lif", files.lif(5, v_leak=0.5))), "'lif'.*v_leak is not 0"),
    "differ": (others(put("lif", files.lif(5, tau=np.arange(1, 6) * 1e-3))), "differ in tau"),
    "short": (others(put("lif", files.lif(5, tau=1e-5))), "'lif'.*shorter than a step"),
    "negative": (others(put("lif", files.lif(5, tau=-1.0))), "'lif'.*not positive"),
    "nan": (others(put("lif", files.lif(5, v_threshold=np.nan))), "'lif'.*not finite"),
    "synapse": (others(put("lif", files.lif(5, **CUBA | {"tau_syn": 2e-4}))), "'lif'.*tau_syn"),
    "unknown": (others(put("lif", {"type": "Delay", "delay": np.ones(5)})), "'lif'.*unknown here"),
    "missing": (others(put("lif", {"type": "LIF"})), "'lif'.*is missing"),
    "size": (others(put("w", files.linear(5, 7))), r"'w'.*\(5, 7\) don't fit"),
    "spiking end": (
        others(put("more", files.lif(3)), edges=files.line("input", "w", "lif", "out", "more",
                                                           "output")),
        "'output'.*readout"),
    "upon": (others(put("more", files.linear(5, 5)), edges=files.line(
        "input", "w", "more", "lif", "out", "output")), "'more'.*weights upon weights"),
    "fork": (others(put("more", files.linear(3, 5)), edges=[
        *files.EDGES, ("lif", "more"), ("more", "output")]), "'lif'.*leads to 2 nodes"),
    "recurrent size": (others(put("rec", files.linear(4, 5)), edges=RECURRENT_EDGES), "'rec'.*fit"),
    "recurrent bias": (others(put("rec", files.linear(5, 5, type="Affine", bias=np.ones(5))),
                              edges=RECURRENT_EDGES), "'rec'.*bias"),
    "nowhere": (others(lambda made: None, edges=[*files.EDGES, ("out", "x")]), "not in it"),
    "no edges": (others(lambda made: None, edges=[("input", "w")]), "'w'.*leads to 0 nodes"),
    "loop": (others(lambda made: None, edges=[*files.EDGES[:-1], ("out", "w")]), "'w'.*a loop"),
    "fed from beside": (others(put("more", files.linear(6, 6)), edges=[
        *files.EDGES, ("more", "more"), ("more", "w")]), "'more'.*leads into the chain"),
    "huge": (others(put("input", files.shape("Input", 2, 10**9, 10**9)), "maps"),
             "'input'.*more than 16777216 numbers"),
    "stride": (others(put("w", files.conv2d(3, 2, stride=np.full(2, 2))), "maps"), "'w'.*3×3"),
    "kernel": (others(put("w", files.conv2d(3, 2, weight=np.ones((3, 2, 5, 5)))), "maps"), "3×3"),
    "pool": (others(put("pool", files.pool(stride=np.ones(2, int))), "maps"), "'pool'.*more than"),
    "pool of none": (others(put("pool", files.pool(size=0)), "maps"), "'pool'.*kernel_size"),
    "pool before": (others(lambda made: None, "maps", edges=files.line(
        "input", "w", "pool", "lif", "flat", "out", "output")), "'pool'.*elsewhere"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_our_networks_cannot_do_is_refused(case: str, tmp_path: Path) -> None:
    make, says = REFUSED[case]
    path = make(tmp_path / "x.nir")
    with pytest.raises(UserError, match=says) as caught:
        st.from_nir(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\0" * 4096])
def test_junk_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.nir").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.nir: not a whole NIR file"):
        st.from_nir(tmp_path / "x.nir")
    with pytest.raises(UserError, match="can't be read"):
        st.from_nir(tmp_path / "none.nir")


def test_a_file_of_gigabytes_in_kilobytes_is_refused(tmp_path: Path) -> None:
    import h5py

    path = others(lambda made: None)(tmp_path / "x.nir")
    with h5py.File(path, "r+") as file:
        del file["node/nodes/w/weight"]
        file.create_dataset("node/nodes/w/weight", (2**20, 2**14), "f4", chunks=(1024, 1))
    with pytest.raises(UserError, match="asks for 64 GiB"):
        st.from_nir(path)


def test_graphs_within_graphs_without_end_are_refused(tmp_path: Path) -> None:
    import h5py

    path = files.chain(tmp_path / "x.nir")
    with h5py.File(path, "r+") as file:
        file["node/nodes/lif/nodes/again"] = file["node"]
    with pytest.raises(UserError, match="without end"):
        st.from_nir(path)


SETTINGS = json.dumps(st.LIF().spec)


@pytest.mark.parametrize("spec", [
    "{", "[]", '{"neuron": {}}', '{"neuron": 3, "readout_decay": 1}',
    f'{{"neuron": {SETTINGS}, "readout_decay": NaN}}',
    f'{{"neuron": {SETTINGS}, "readout_decay": 1, "gain": Infinity}}',
])  # fmt: skip
def test_metadata_that_describe_no_network_are_refused(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "x.nir"
    files.write(path, files.nodes(), files.EDGES, {"network": spec})
    with pytest.raises(UserError, match="metadata/network"):
        st.from_nir(path)


def test_weights_count_where_the_metadata_say_otherwise(tmp_path: Path) -> None:
    """A file of ours that another program has changed."""
    spec = {"neuron": st.LIF(0.9, 0.3, 0.2, adaptation=0.5).spec, "readout_decay": 0.5}
    path = files.write(
        tmp_path / "x.nir", files.nodes(), files.EDGES, {"network": json.dumps(spec)}
    )
    net = st.from_nir(path)
    neuron = net.layers[0].neuron
    assert (neuron.beta, neuron.lam, net.readout_decay) == (pytest.approx(0.75), 0.2, 0.5)
    assert neuron.threshold == pytest.approx(0.5)
    assert (neuron.reset, neuron.adaptation) == ("hard", 0.0)


def test_too_many_edges_are_refused(tmp_path: Path) -> None:
    path = files.write(tmp_path / "x.nir", files.nodes(), files.EDGES * 3000)
    with pytest.raises(UserError, match="edges are no pairs"):
        st.from_nir(path)
