"""Checkpoints: a round trip, and one clear line for every file that is not what it should be."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from synaptrace.build import mlp
from synaptrace.errors import UserError
from synaptrace.training import checkpoint
from synaptrace.training.state import adam


def write(path: Path, value: float = 1.0) -> None:
    checkpoint.save(path, {"net": {"weight": torch.full((3,), value)}}, {"epoch": 1})


def test_round_trip(tmp_path: Path) -> None:
    parts = {"net": {"a.b": torch.randn(2, 3)}, "rule": {"c": torch.arange(3).double()}}
    checkpoint.save(tmp_path / "new" / "x.safetensors", parts, {"epoch": 3, "loss": 0.1 + 0.2})
    tensors, meta = checkpoint.load(tmp_path / "new" / "x.safetensors")
    assert meta == {"format": checkpoint.FORMAT, "epoch": 3, "loss": 0.1 + 0.2}
    assert tensors.keys() == {"net.a.b", "rule.c"}
    for part, state in parts.items():
        for name, value in state.items():
            back = checkpoint.part(tensors, part)[name]
            assert back.dtype == value.dtype
            assert torch.equal(back, value)


def test_evaluation_prefers_averaged_weights() -> None:
    plain, mean = torch.zeros(1), torch.ones(1)
    assert checkpoint.evaluated({"net.w": plain}) == {"w": plain}
    assert checkpoint.evaluated({"net.w": plain, "ema.w": mean}) == {"w": mean}


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(UserError, match=r"x\.safetensors: can't be read \(no such file\)"):
        checkpoint.load(path)
    with pytest.raises(UserError, match="can't be read"):
        checkpoint.load(tmp_path)
    write(path)
    whole = path.read_bytes()
    for size in (0, 4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"x\.safetensors: truncated, or not a checkpoint"):
            checkpoint.load(path)
    path.write_bytes(b"PK\x03\x04 something else, long enough to be read as a header of its own")
    with pytest.raises(UserError, match="truncated, or not a checkpoint"):
        checkpoint.load(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {checkpoint.KEY: "[]"}])
def test_foreign_safetensors(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(UserError, match="no checkpoint of synaptrace"):
        checkpoint.load(path)


def test_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    header = json.dumps({"format": checkpoint.FORMAT + 1})
    save_file({"weight": torch.zeros(2)}, path, {checkpoint.KEY: header})
    with pytest.raises(UserError, match="written by a newer synaptrace"):
        checkpoint.load(path)


def test_tensors_that_do_not_fit_are_named(tmp_path: Path) -> None:
    path, net = tmp_path / "x.safetensors", mlp(4, [3], 2)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wide = mlp(4, [5], 2).state_dict()
    with pytest.raises(UserError, match=r"layers\.0\.weight has shape \(5, 4\), not \(3, 4\)"):
        checkpoint.restore(net, wide, path)
    with pytest.raises(UserError, match=r"layers\.0\.recurrent has no place"):
        checkpoint.restore(net, mlp(4, [3], 2, recurrent=True).state_dict(), path)
    with pytest.raises(UserError, match=r"x\.safetensors: tensor layers\.0\.weight is missing"):
        checkpoint.restore(net, {"readout.weight": before["readout.weight"]}, path)
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


def test_optimizer_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    def step(optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter]) -> None:
        for weight in weights:
            weight.grad = weight.detach().sin()
        optimizer.step()

    weights = [torch.nn.Parameter(torch.randn(4)) for _ in range(2)]
    copies = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    first, second = adam(weights, 0.1), adam(copies, 0.1)
    step(first, weights)
    for weight, twin in zip(weights, copies, strict=True):
        twin.data.copy_(weight.data)
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, {"optimizer": checkpoint.optimizer_state(first, ["a", "b"])}, {})
    moments = checkpoint.part(checkpoint.load(path)[0], "optimizer")
    assert {"a.exp_avg", "b.exp_avg_sq", "a.step"} <= moments.keys()
    checkpoint.restore_optimizer(second, moments, ["a", "b"])
    step(first, weights)
    step(second, copies)
    assert all(torch.equal(a, b) for a, b in zip(weights, copies, strict=True))


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write(path)
    old = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:

        def full(self: Path, data: bytes) -> int:
            self.open("wb").write(data[:10])
            raise OSError(28, "No space left on device")

        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match=r"x\.safetensors: can't be written \(No space left"):
            write(path, 2.0)
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]
