"""One network trained by several processes: the same gradients, updates and runs as by one.

Each number of processes is started once, and goes through all its cases in one process group.
"""

import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from patience import LIMIT
from processes import PROCESSES
from spiking import conv, dense, events
from synaptrace import cli, rules
from synaptrace.config import resolve
from synaptrace.data.dataset import ArrayDataset
from synaptrace.errors import UserError
from synaptrace.native import library
from synaptrace.network import Network
from synaptrace.rules import Rule
from synaptrace.training import parts, team, together
from synaptrace.training.learn import learn
from synaptrace.training.loop import fit
from synaptrace.training.state import State

LABELS = torch.tensor([0, 3, 3, 1, 3, 0, 0])
LENGTHS = torch.tensor([8, 3, 8, 5, 6, 2, 1])
ENGINE = "auto" if library.why() else "native"  # which is an error where it can't be used
CASES = [
    (kind, options, every, ends)
    for kind in ("dense", "conv")
    for options in ({"contrast": "batch"}, {"contrast": "class"})
    for every in (None, 3, 1)
    for ends in (None, LENGTHS)
] + [
    ("dense", {"engine": ENGINE, "eligibility": every == 1}, every, LENGTHS)
    for every in (1, 3)
] + [
    ("dense", {"name": name}, every, LENGTHS)
    for name in ("bptt", "eprop", "ottt", "stllr", "readout-only")
    for every in (None, 3)
]  # fmt: skip
SMALL = ("dense", {"contrast": "batch"}, 3, None)
SIZES = (2, 3, 4)
UNLIKE = {"run_id", "seconds", "peak_memory_bytes"}
"""What a summary says that no two trainings have alike."""
FEW = [1, 16]
"""Of `CASES`, a dense and a convolutional one: all that four processes add is another cut."""


def of(size: int) -> list[int]:
    """Which of `CASES` this number of processes goes through."""
    return FEW if size == 4 else list(range(len(CASES)))


def make(kind: str, options: dict[str, Any]) -> tuple[Network, Rule]:
    net = conv() if kind == "conv" else dense(7, 6, recurrent=True)
    return net, rules.build(net, generator=torch.Generator().manual_seed(2), **options)


def updated(case: Any, samples: int, crew: team.Team, most: int | None = None) -> dict[str, Tensor]:
    """Weights after one batch, what it recorded, and the sum of gradients that Adam last saw."""
    kind, options, every, ends = case
    net, rule = make(kind, options)
    state = State(net, rule, 1e-2, None, {}, None)
    state.optimizer.register_step_pre_hook(lambda *_: crew.add_gradients(state.weights))
    seen: dict[str, Tensor] = {}

    def note(*_: Any) -> None:
        for name, weight in state.trained.items():
            if weight.grad is not None:
                seen[f"gradient of {name}"] = seen.get(f"gradient of {name}", 0) + weight.grad

    state.optimizer.register_step_pre_hook(note)
    x = events(net, batch=7)[:, :samples]
    cuts = parts.cut(crew, samples, most)
    lengths = None if ends is None else ends[:samples]
    batch = parts.Parts(LABELS[:samples], lengths, len(x), cuts, lambda rows: x[:, rows])
    draws = torch.Generator().manual_seed(3)
    *means, norm = learn(state, batch, every, draws, crew)
    seen["means"] = torch.tensor(means, dtype=torch.float64)
    seen["net.norm"] = torch.tensor(norm, dtype=torch.float64)  # of weights, and as near as they
    return seen | {name: weight.detach().clone() for name, weight in state.trained.items()}


def data(seed: int = 0, **options: Any) -> ArrayDataset:
    draws = torch.Generator().manual_seed(seed)
    labels = torch.arange(46) % 4
    rates = torch.rand(4, 10, generator=draws)[labels][:, None].expand(-1, 8, -1)
    frames = torch.bernoulli(rates * 0.6, generator=draws).to(torch.uint8)
    ends = torch.randint(2, 9, (46,), generator=draws)
    index = {"train": range(34), "validation": range(34, 40), "test": range(40, 46)}
    options = {"batch_size": 7} | options
    return ArrayDataset(
        frames, labels, name="patterns", classes="abcd", index=index, lengths=ends, **options
    )


def noise(x: Tensor, draws: torch.Generator) -> Tensor:
    return x * (torch.rand(x.shape, generator=draws) < 0.9)


def trained(run: Path | None, epochs: int = 3, **options: Any) -> dict[str, Any]:
    net, rule = make("dense", {"contrast": "batch"})
    augment = noise if options.pop("augmented", False) else None
    source = data(augment=augment)
    summary = fit(net, rule, source, epochs=epochs, lr=1e-2, ema=0.9, run=run, resume=True,
                  progress=False, threads=1, **options)  # fmt: skip
    weights = {name: weight.detach().clone() for name, weight in net.named_parameters()}
    return {"weights": weights, "summary": summary}


class Cut(Exception):
    """What cuts a training off."""


def cut_off(run: Path | None) -> None:
    """Begin the training of three epochs, and leave it amid the second."""
    net, rule = make("dense", {"contrast": "batch"})
    calls, sequence = [0], rule.sequence

    def counted(*given: Any, **options: Any) -> Tensor:
        calls[0] += 1
        if calls[0] == 7:
            raise Cut
        return sequence(*given, **options)

    rule.sequence = counted  # type: ignore[method-assign]
    with pytest.raises(Cut):
        fit(net, rule, data(), epochs=3, lr=1e-2, ema=0.9, run=run, resume=True, progress=False,
            threads=1, checkpoint_seconds=0.0)  # fmt: skip


def refusal(work: Any) -> str:
    with pytest.raises(UserError) as caught:
        work()
    return str(caught.value)


def work(rank: int, size: int, port: int, folder: Path) -> None:
    """All cases in one of ``size`` processes; what came of them is left in ``folder``."""
    torch.set_num_threads(1)
    os.environ.update(place(rank, size, port))
    with team.joined() as crew:
        found: dict[str, Any] = {"cases": [updated(CASES[i], 7, crew) for i in of(size)]}
        found["small"] = updated(SMALL, 2, crew)
        found["micro"] = updated(CASES[0], 7, crew, most=2)
        found["sums"] = crew.sums
        net, rule = make("dense", {"name": "espp"})
        found["espp"] = refusal(lambda: fit(net, rule, data(), progress=False))
        net, rule = make("dense", {})
        found["batch"] = refusal(lambda: fit(net, rule, data(batch_size=size - 1), progress=False))
        found["data"] = refusal(lambda: fit(net, rule, data(seed=rank), progress=False))
        found["settings"] = refusal(lambda: fit(net, rule, data(), lr=0.1 + rank, progress=False))
        other = resolve(overrides={"train.threads": str(1 + rank)})
        together.agree_on_settings(crew, other)  # which may differ so
        unlike = other.model_copy(update={"seeds": 1 + rank})
        found["seeds"] = refusal(lambda: together.agree_on_settings(crew, unlike))
        found["whole"] = trained(folder / f"whole-{size}")
        found["augmented"] = trained(None, augmented=True)
        found["again"] = trained(folder / f"whole-{size}")
        found["resumed"] = trained(folder / f"cut-{size}")
        cut_off(folder / f"left-{size}")
    torch.save(found, folder / f"{size}-{rank}.pt")


def meeting() -> dist.TCPStore:
    """Where processes find one another, kept by this one, as torchrun does: its ``port`` is its own
    from the start, where a port that was free a moment ago may be another's when it is wanted."""
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def place(rank: int, size: int, port: int) -> dict[str, str]:
    """What torchrun tells the process of this rank."""
    told = {"RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
            "TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}  # fmt: skip
    return {name: str(value) for name, value in told.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What each process of 2, of 3 and of 4 found, and where they left their runs."""
    folder = tmp_path_factory.mktemp("runs")
    outcomes: dict[int, Any] = {0: folder}
    for size in SIZES:
        cut_off(folder / f"cut-{size}")
        store = meeting()
        torch.multiprocessing.start_processes(
            work, (size, store.port, folder), nprocs=size, start_method="forkserver"
        )
        outcomes[size] = [
            torch.load(folder / f"{size}-{rank}.pt", weights_only=False) for rank in range(size)
        ]
    return outcomes


@pytest.fixture(scope="module")
def alone() -> tuple[dict[str, Any], dict[str, Any]]:
    """The training by one process, plain and augmented."""
    return trained(None), trained(None, augmented=True)


def same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        far = 1e4 if name.startswith(("net.", "rule.")) else 1  # Adam divides by the gradient
        off = ((found[name] - value).abs() / value.abs().clamp(min=1.0)).max()
        assert off <= tolerance * far, f"{name}: off by {off:.1e}"


def test_updates_are_those_of_one_process(outcomes: Any) -> None:
    for i, case in enumerate(CASES):
        expected = updated(case, 7, team.Team())
        assert all(weight.any() for name, weight in expected.items() if "layers" in name), case
        for size in SIZES:
            for each in outcomes[size] if i in of(size) else []:
                same(each["cases"][of(size).index(i)], expected)


@pytest.mark.parametrize("size", SIZES)
def test_all_processes_end_with_the_same_bits(outcomes: Any, size: int) -> None:
    first, *others = outcomes[size]
    for other in others:
        for mine, its in zip(first["cases"], other["cases"], strict=True):
            same(its, mine, 0.0)
        same(other["whole"]["weights"], first["whole"]["weights"], 0.0)
        assert other["whole"]["summary"] == first["whole"]["summary"]


def test_fewer_samples_than_processes(outcomes: Any) -> None:
    for each in [*outcomes[3], *outcomes[4]]:
        same(each["small"], updated(SMALL, 2, team.Team()))


@pytest.mark.parametrize("size", [1, *SIZES])
def test_parts_of_two_samples_are_the_batch(outcomes: Any, size: int) -> None:
    expected = updated(CASES[0], 7, team.Team())
    found = [each["micro"] for each in outcomes[size]] if size > 1 else []
    for each in found or [updated(CASES[0], 7, team.Team(), most=2)]:
        same(each, expected)


def test_gradients_are_added_up_once_an_update(outcomes: Any) -> None:
    updates = {None: 1, 3: 3, 1: 8}
    for size in SIZES:
        done = [*(CASES[i] for i in of(size)), SMALL, CASES[0]]
        expected = sum(updates[every] + 1 for _, _, every, _ in done)
        assert {each["sums"] for each in outcomes[size]} == {expected}


@pytest.mark.parametrize("size", SIZES)
def test_a_training_is_that_of_one_process(outcomes: Any, alone: Any, size: int) -> None:
    """Also augmented, from draws of the whole batch; and finished, cut off by one process, or
    gone on with by one."""
    plain, augmented = alone
    assert not torch.equal(plain["weights"]["layers.0.weight"],
                           augmented["weights"]["layers.0.weight"])  # fmt: skip
    left = trained(outcomes[0] / f"left-{size}")
    found = outcomes[size][0]
    pairs = [(found[name], plain) for name in ("whole", "again", "resumed")]
    for its, mine in [*pairs, (left, plain), (found["augmented"], augmented)]:
        same(its["weights"], mine["weights"], 1e-8)
        for key in mine["summary"].keys() - UNLIKE:
            assert its["summary"][key] == mine["summary"][key], key


@pytest.mark.parametrize("size", SIZES)
def test_what_cannot_be_is_refused_in_all_processes(outcomes: Any, size: int) -> None:
    for each in outcomes[size]:
        assert "espp, as it is set, can't learn from parts" in each["espp"]
        assert f"{size} processes, but a batch of {size - 1}" in each["batch"]
        assert each["data"].startswith("data: the first")
        assert each["settings"].startswith("train: not the same")
        assert each["seeds"].startswith("seeds: not the same")


def test_one_process_in_parts_trains_as_in_one() -> None:
    plain = trained(None)
    for options in ({"micro_batch": 3}, {"micro_batch": 100}):
        same(trained(None, **options)["weights"], plain["weights"], 1e-8)
    same(trained(None, augmented=True, micro_batch=3)["weights"],
         trained(None, augmented=True)["weights"], 1e-8)  # fmt: skip
    found = trained(None, micro_batch=3, update=3, epochs=1)["weights"]
    same(found, trained(None, update=3, epochs=1)["weights"], 1e-8)
    with pytest.raises(UserError, match="0 is not a positive number of samples"):
        trained(None, micro_batch=0)


def test_a_meeting_that_nobody_comes_to_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for rank in ("0", "1"):  # alone at the meeting, and on the way to none
        for name, value in {**told, "RANK": rank}.items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(UserError, match=f"2 processes did not meet at 127.0.0.1:{port}"),
            team.joined(timedelta(seconds=1)),
        ):
            pass
    assert not dist.is_initialized()


def leave(rank: int, port: int, folder: Path) -> None:
    """One of two processes, of which the second one dies; what it says is left in ``folder``."""
    os.environ.update(place(rank, 2, port))
    try:
        with team.joined() as crew:
            crew.sum(torch.ones(1))
            if rank == 1:
                os._exit(9)
            crew.sum(torch.ones(1))
    except UserError as error:
        (folder / str(rank)).write_text("" if error.told else str(error))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"RANK": "2"}, "RANK '2', WORLD_SIZE '2': need a rank"),
        ({"RANK": "-1"}, "RANK '-1'"),
        ({"RANK": "x"}, "RANK 'x'"),
        ({"RANK": "0", "WORLD_SIZE": "some"}, "WORLD_SIZE 'some'"),
        ({}, "RANK: isn't set, where WORLD_SIZE asks for several"),
    ],
)
def test_a_place_that_cannot_be_is_told_in_a_line(
    given: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", **given}
    for name in ("RANK", "TORCH_CPP_LOG_LEVEL"):
        monkeypatch.setenv(name, "")  # which is put back as it was
        monkeypatch.delenv(name)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["train"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert os.environ["TORCH_CPP_LOG_LEVEL"] == "FATAL"  # else PyTorch adds traces of its own
    monkeypatch.setenv("WORLD_SIZE", "1")
    with team.joined() as crew:
        assert crew.size == 1


def test_a_process_that_dies_ends_the_others_with_one_line(tmp_path: Path) -> None:
    store = meeting()
    both = [PROCESSES.Process(target=leave, args=(rank, store.port, tmp_path)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(LIMIT)
    assert [process.exitcode for process in both] == [0, 9]
    (said,) = tmp_path.iterdir()
    assert said.read_text().startswith("process 1 of 2: another one has ended")
    assert said.read_text().count("\n") == 0
