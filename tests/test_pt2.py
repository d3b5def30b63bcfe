"""A .pt2 file holds the network's step: loaded again, it gives the same logits and spikes."""

from pathlib import Path
from typing import Any

import pytest
import torch

import spiking
import synaptrace as st
from synaptrace import cli
from synaptrace.config import resolve
from synaptrace.network import Network, State
from synaptrace.ship import pt2
from synaptrace.training import job

NETWORKS = {
    "recurrent": lambda: spiking.dense(7, 6, recurrent=True, neuron={"adaptation": 0.2}),
    "maps": lambda: spiking.conv(standardise=True),
}


def same(net: Network, path: Path, batch: int) -> None:
    """Every step's logits and state, of a sequence that spikes."""
    step: Any = torch.export.load(path).module()
    events, state = spiking.events(net, batch=batch), net.initial_state(batch)
    flat, spikes = pt2.flat(state), 0.0
    with torch.no_grad():
        for x in events:
            logits, state = net.step(x, state)
            found, *flat = step(x, *flat)
            assert torch.equal(found, logits)
            assert all(torch.equal(a, b) for a, b in zip(flat, pt2.flat(state), strict=True))
            spikes += float(sum(s.mean() for s in state.spikes))
        assert torch.equal(found, net(events)) or torch.allclose(found, net(events))
    assert 0.05 < spikes / (len(events) * len(net.layers)) < 0.95


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_loaded_step_is_the_networks_own(kind: str, tmp_path: Path) -> None:
    net = NETWORKS[kind]()
    assert isinstance(net.initial_state(1), State)
    pt2.write(net, tmp_path / "x.pt2")
    for batch in (1, 5):
        same(net, tmp_path / "x.pt2", batch)


def test_the_verb(tmp_path: Path, capsys: Any) -> None:
    settings = {"model.hidden": "[20]", "train.epochs": "1"}
    run, _ = job.start(resolve(preset="digits", overrides=settings), root=tmp_path, progress=False)
    words = ["export", str(run), "--to", "pt2", "--out", str(tmp_path / "x.pt2")]
    assert cli.main([*words, "--target", "norse"]) == 2
    assert "--target" in capsys.readouterr().err
    assert cli.main([*words[:-1], str(tmp_path / "new" / "x")]) == 2
    assert "named .pt2" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert cli.main(words) == 0
    assert "3 tensors" in capsys.readouterr().out
    step: Any = torch.export.load(tmp_path / "x.pt2").module()
    net, x = st.load(run), torch.ones(3, 512)
    with torch.no_grad():
        logits, *_ = step(x, *pt2.flat(net.initial_state(3)))
        assert torch.equal(logits, net.step(x)[0])
