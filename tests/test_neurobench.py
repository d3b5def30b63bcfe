"""NeuroBench's metrics: by hand on a tiny network, and against its own package where installed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spiking
import synaptrace as st
from synaptrace import cli
from synaptrace.cost import neurobench
from synaptrace.errors import UserError
from synaptrace.network import Network
from synaptrace.neuron import LIF, reset, spike
from synaptrace.training.evaluate import evaluate

AVERAGED = [(5, ("avg", 2)), (4, ("aavg", 2))]
NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {"hidden": (8, 7)},
    "recurrent": {"hidden": (8, 7), "recurrent": True},
    "standardised": {"hidden": (8,), "standardise": True, "neuron": {"threshold": 0.3}},
    "adaptive": {"hidden": (8,), "neuron": {"adaptation": 0.1, "adaptation_decay": 0.9}},
    "pooled": {"channels": [(5, ("max", 2)), (4, ("none", 1))]},
    "averaged": {"channels": AVERAGED},
}


def network(kind: str) -> Network:
    """In float32, a third of its weights zero."""
    options = dict(NETWORKS[kind])
    hidden = options.pop("hidden", ())
    net = spiking.conv(**options) if "channels" in options else spiking.dense(*hidden, **options)
    draws = torch.Generator().manual_seed(3)
    for weight in net.parameters():
        weight.data[torch.rand(weight.shape, generator=draws) < 1 / 3] = 0
    return net.float()


def test_by_hand() -> None:
    net = st.mlp(2, [2], 2, neuron=LIF(threshold=1.0, decay=0.5), recurrent=True)
    layer = net.layers[0]
    assert layer.recurrent is not None
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.5, 0.5]])  # meet an input: 2, 1
    layer.recurrent.data = torch.tensor([[0.0, 0.0], [-1.0, 0.0]])  # a spike: 1, 0
    net.readout.weight.data = torch.tensor([[1.0, 1.0], [0.0, 1.0]])  # a spike: 1, 2
    # Spikes: (1, 0), (1, 0), none. Additions: 2 + 3 + 1 inputs, 1 + 1 of the layer's own, 1 + 1.
    first = [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    # Spikes: (0, 1), none. The 2 is a MAC; 1 addition of an input, 2 in the readout.
    second = [[0.0, 2.0], [0.0, 1.0], [float("nan")] * 2]
    events = torch.tensor([first, second]).transpose(0, 1)
    found = neurobench.measure(net, [(events, torch.tensor([0, 1]), torch.tensor([3, 2]))])
    assert found == {
        "footprint": 4 * (12 + 2 + 2 + 2),
        "connection_sparsity": 5 / 12,
        "activation_sparsity": 1 - 3 / (2 * 5),
        "synaptic_operations": {"Effective_MACs": 1 / 2, "Effective_ACs": 13 / 2, "Dense": 30.0},
        "steps": 2.5,
    }
    alone = [neurobench.measure(net, [(events[:n, i : i + 1], torch.zeros(1), None)])
             for i, n in enumerate((3, 2))]  # fmt: skip
    operations = [each["synaptic_operations"] for each in alone]
    assert [each["Effective_ACs"] for each in operations] == [10, 3]
    assert [each["Effective_MACs"] for each in operations] == [0, 1]
    assert [each["Dense"] for each in operations] == [36, 24]


@pytest.mark.parametrize("kind", NETWORKS)
def test_operations_are_those_of_binary_products(kind: str) -> None:
    """Ones in place of all that isn't zero, through the layers themselves."""
    net = network(kind)
    events = spiking.events(net).float()
    found = neurobench.measure(net, [(events, spiking.labels(), None)])
    effective = dense = 0.0
    state = net.initial_state(spiking.BATCH)
    with torch.no_grad():
        for x in events:
            before = state
            _, state = net.step(x, before)
            outputs = [layer.pool(s) for layer, s in zip(net.layers, state.spikes, strict=True)]
            owns = [*before.spikes, before.logits]
            for layer, given, own in zip(
                [*net.layers, net.readout], [x, *outputs], owns, strict=True
            ):
                met = (layer.forward_weight() != 0).float()
                nothing = torch.zeros_like(own)
                if layer.recurrent is not None:
                    effective += float((own @ (layer.recurrent != 0).float().t()).sum())
                    dense += own.numel() * own.shape[1]
                effective += float(layer.current((given != 0).float(), nothing, met).sum())
                ones = torch.ones_like(given)
                dense += float(layer.current(ones, nothing, torch.ones_like(met)).sum())
    operations = found["synaptic_operations"]
    total = operations["Effective_ACs"] + operations["Effective_MACs"]
    assert total == effective / spiking.BATCH
    assert operations["Dense"] == dense / spiking.BATCH
    assert (operations["Effective_MACs"] > 0) == (kind == "averaged")
    score = evaluate(net, [(events, spiking.labels(), None)])
    assert score.spikes.min() > 0, "a silent layer makes every comparison pass"
    assert found["activation_sparsity"] == pytest.approx(
        1 - score.spikes.sum() / score.chances.sum()
    )


def test_no_samples_is_an_error() -> None:
    with pytest.raises(UserError, match="no samples"):
        neurobench.measure(network("dense"), [])


class Neuron(nn.Module):
    """The layer's neurons as a module, with its state as buffers of one sample."""

    def __init__(self, neuron: LIF, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.neuron = neuron
        for name in ("membrane", "spikes", *(["adaptation"] if neuron.adaptation else [])):
            self.register_buffer(name, torch.zeros(1, *shape))

    def forward(self, current: Tensor) -> Tensor:
        neuron = self.neuron
        v = driven = current + neuron.beta * self.membrane
        if neuron.adaptation:
            self.adaptation = neuron.adaptation_decay * self.adaptation + self.spikes
            driven = v - neuron.adaptation * self.adaptation
        self.spikes = spike(neuron, driven)
        self.membrane = reset(neuron, v, self.spikes)
        return self.spikes


class Twin(nn.Module):
    """The network made of PyTorch's own layers, on which NeuroBench's hooks sit."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.connections, self.recurrences = nn.ModuleList(), nn.ModuleList()
        self.neurons = nn.ModuleList(Neuron(layer.neuron, layer.shape) for layer in net.layers)
        for layer in [*net.layers, net.readout]:
            self.connections.append(self.connection(layer.forward_weight().detach()))
            if layer.recurrent is not None:
                self.recurrences.append(self.connection(layer.recurrent.detach()))
        self.pools, self.decay = [layer.pool for layer in net.layers], net.readout_decay
        self.register_buffer("logits", torch.zeros(1, net.classes))

    def connection(self, weight: Tensor) -> nn.Module:
        made: nn.Module = nn.Linear(1, 1, bias=False)
        if weight.dim() == 4:
            made = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
        made.weight = nn.Parameter(weight)
        return made

    def forward(self, events: Tensor) -> Tensor:
        """Logits (B, classes) of events (B, T, …), from rest."""
        for name, buffer in self.named_buffers():
            self.get_submodule(name.rpartition(".")[0])._buffers[name.rpartition(".")[2]] = (
                buffer.new_zeros(len(events), *buffer.shape[1:])
            )
        for x in events.unbind(1):
            for i, (neuron, pool) in enumerate(zip(self.neurons, self.pools, strict=True)):
                current = self.connections[i](x)
                if self.recurrences:
                    current = current + self.recurrences[i](neuron.spikes)
                x = pool(neuron(current))
            self.logits = self.decay * self.logits + self.connections[-1](x.flatten(1))
        return self.logits


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_package_finds_the_same(kind: str) -> None:
    reason = "needs neurobench (pip install --no-deps neurobench snntorch)"
    models = pytest.importorskip("neurobench.models", reason=reason)
    static = pytest.importorskip("neurobench.metrics.static", reason=reason)
    workload = pytest.importorskip("neurobench.metrics.workload", reason=reason)
    net = network(kind)
    events = spiking.events(net).float()
    found = neurobench.measure(net, [(events, spiking.labels(), None)])
    twin = Twin(net)
    model = models.TorchModel(twin)
    model.add_activation_module(Neuron)
    assert static.Footprint()(model) == found["footprint"]
    assert static.ConnectionSparsity()(model) == round(found["connection_sparsity"], 4)
    model.register_hooks()
    sparsity, operations = [], workload.SynapticOperations()
    with torch.no_grad():
        for i, label in enumerate(spiking.labels()):
            logits = model(events[:, i : i + 1].transpose(0, 1))
            torch.testing.assert_close(logits, net(events[:, i : i + 1]))
            data = (events[:, i : i + 1].transpose(0, 1), label)
            sparsity.append(workload.ActivationSparsity()(model, logits, data))
            operations(model, logits, data)
            model.reset_hooks()
    assert sum(sparsity) / len(sparsity) == pytest.approx(found["activation_sparsity"], abs=1e-12)
    assert operations.compute() == found["synaptic_operations"]


def test_the_command_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--model.hidden", "[12]", "--data.batch_size", "256", "--train.threads", "1"]
    assert cli.main([*words, "--train.epochs=1", "--out", str(tmp_path), "--quiet"]) == 0
    (run,) = tmp_path.iterdir()
    capsys.readouterr()
    assert cli.main(["evaluate", str(run), "--neurobench", "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    found = score["neurobench"]
    assert found["activation_sparsity"] == pytest.approx(1 - score["rates"][0])
    weights = 512 * 12 + 12 * 10
    assert found["footprint"] == 4 * (weights + 2 * 12 + 10)
    assert found["synaptic_operations"]["Dense"] == weights * found["steps"]
    assert 0 < found["synaptic_operations"]["Effective_ACs"] < weights * found["steps"]
    assert cli.main(["evaluate", str(run), "--neurobench"]) == 0
    out = capsys.readouterr().out
    assert f"footprint             {found['footprint']} bytes" in out
    assert "Effective ACs" in out
