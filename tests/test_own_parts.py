"""Rules, surrogates and data sets of one's own: named on the command line, never run by a run."""

import json
import re
import shutil
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
import torch

import spiking
import synaptrace as st
import test_bptt
import test_examples
import toy
from synaptrace import cli, config, data, inference, own, own_files, rules
from synaptrace.compare import run
from synaptrace.cost import process
from synaptrace.errors import UserError
from synaptrace.rules.ottt import OTTT
from synaptrace.rules.tp.execute import obstacle
from synaptrace.ship.c.plan import plan as c_plan
from test_examples import forget
from test_face import some

OTTT_OF = "from synaptrace.rules import OTTT"


class Gaussian(st.Surrogate):
    """Of the tests alone."""

    name = "test-gaussian"

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, distance: torch.Tensor) -> torch.Tensor:
        return torch.exp(-((self.scale * distance) ** 2))


class Likewise(st.Surrogate):
    """σ' of `ATan` from another class."""

    name = "test-atan"

    def __call__(self, distance: torch.Tensor) -> torch.Tensor:
        return st.ATan(self.scale)(distance)


class Twice(OTTT):
    """A rule of the tests alone."""

    name = "test-twice"


def test_tp_takes_a_surrogate_and_the_engine_steps_aside() -> None:
    nets = [
        spiking.dense(8, 7, recurrent=True, neuron={"surrogate": kind(2.0)})
        for kind in (st.ATan, Likewise, Gaussian)
    ]
    x = spiking.events(nets[0])
    found = []
    for net in nets:
        rule = st.TracesPropagation(net, generator=torch.Generator().manual_seed(1))
        found.append(spiking.gradients(rule, x))
    spiking.assert_same(found[1], found[0])
    assert not torch.allclose(found[2]["layers.0.weight"], found[0]["layers.0.weight"])
    if inference.unfit(nets[0], x) is None:
        rule = st.TracesPropagation(nets[2])
        assert inference.unfit(nets[2], x) == "it doesn't know the surrogate"
        rule.start(spiking.labels())
        assert obstacle(rule, x, None, None) == "it doesn't know the surrogate"


@pytest.mark.parametrize("make", [spiking.dense, spiking.conv])
def test_bptt_takes_a_surrogate(make: Any) -> None:
    net = make(neuron={"surrogate": Gaussian(0.5)})
    x = spiking.events(net)
    found = spiking.gradients(rules.build(net, "bptt"), x)
    net.zero_grad()
    test_bptt.loss(net, x).backward()
    spiking.assert_same(found, {k: p.grad for k, p in net.named_parameters()})
    other = spiking.gradients(rules.build(make(), "bptt"), x)
    assert not torch.allclose(other["layers.0.weight"], found["layers.0.weight"])


def test_a_run_keeps_a_surrogate_and_a_rule_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = st.mlp(12, [16], 3, neuron=st.LIF(threshold=0.3, surrogate=Gaussian(0.5)))
    rule = st.rules.make("test-twice", net)
    assert type(rule) is Twice
    st.fit(net, rule, toy.Toy(), epochs=1, run=tmp_path, progress=False)
    again, learner = st.load(tmp_path, rule=True)
    assert type(learner) is Twice
    assert again.layers[0].neuron == net.layers[0].neuron or (
        again.layers[0].neuron.surrogate.scale == 0.5
    )
    assert type(again.layers[0].neuron.surrogate) is Gaussian
    with pytest.raises(UserError, match="--learn: the surrogate Gaussian has no form in C"):
        c_plan(net, st.TracesPropagation(net), "all")
    monkeypatch.delattr(Gaussian, "name")
    with pytest.raises(UserError, match=r"no surrogate 'test-gaussian'; .* --rule\.file FILE\.py"):
        st.load(tmp_path)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """mine.py and blobs.py of docs/own.md, in the current folder; forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    text = (test_examples.ROOT / "docs" / "own.md").read_text(encoding="utf-8")
    for _, block in test_examples.BLOCK.findall(text):
        if named := re.match(r"# (\w+\.py)\n", block):
            said = block.replace('"instant"', '"refused"').replace('"gaussian"', '"unknown"')
            (tmp_path / named[1].replace("blobs", "spots")).write_text(said)
    return tmp_path / "mine.py", tmp_path / "spots.py"


def test_a_run_executes_nothing_of_ones_own(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["--rule.file", str(files[0]), "--data.file", str(files[1])]
    words = ["train", *named, "--rule.name", "refused", "--neuron.surrogate", "unknown",
             "--data.name", "spots", "--data.noise", "0.2", "--model.hidden", "[12]",
             "--train.epochs", "1", "--quiet"]  # fmt: skip
    try:
        assert cli.main(words) == 0
        (made,) = Path("runs").iterdir()
        assert own_files.present() == {"rule.file": str(files[0]), "data.file": str(files[1])}
        forget()
        shutil.copy(files[0], made / "mine.py")  # wherever they lie, nobody looks
        shutil.copy(files[1], made / "spots.py")
        capsys.readouterr()
        for left, said in (
            (["evaluate", str(made)], "data.name: no data set 'spots'"),
            (["evaluate", str(made), *named[2:]], "neuron.surrogate: no surrogate 'unknown'"),
            (["resume", str(made), *named[2:]], "neuron.surrogate: 'unknown' should be 'atan'"),
            (["train", "--config", str(made / "config.yaml")], "data.name: no data set 'spots'"),
            (["train", "--rule.name", "refused"], "rule.name: no rule 'refused'"),
        ):
            assert cli.main(left) == 2
            told = capsys.readouterr().err
            assert said in told
            assert ".file FILE.py" in told
            assert len(told.splitlines()) == 1
            forget()
        assert cli.main(["evaluate", str(made), *named, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["samples"] > 10
    finally:
        forget()


@pytest.mark.parametrize("section", ["rule", "data"])
def test_no_settings_file_names_a_python_file(section: str, tmp_path: Path) -> None:
    mark, file = tmp_path / "ran", tmp_path / "settings.yaml"
    (tmp_path / "mine.py").write_text(f"open({str(mark)!r}, 'w')")
    file.write_text(f"{section}:\n  file: {tmp_path / 'mine.py'}\n")
    with pytest.raises(UserError, match=rf"{section}\.file: no such setting"):
        config.resolve(file=file)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("rule.file", "x = 1", "defines no rule"),
        ("rule.file", "x = 1\n1 / 0", r"mine\.py:2: can't be run \(ZeroDivisionError"),
        ("rule.file", "x = (", r"can't be run \(SyntaxError"),
        ("rule.file", f"{OTTT_OF}\nclass A(OTTT): pass", "A needs a name of"),
        ("rule.file", f"{OTTT_OF}\nclass A(OTTT): name = 'tp'", "needs a name"),
        ("rule.file", OTTT_OF, "defines no rule"),
        ("data.file", "x = 1", r"defines no load\("),
    ],
)  # fmt: skip
def test_files_that_hold_nothing_are_named(
    option: str, text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    try:
        with pytest.raises(UserError, match=said) as caught:
            own_files.load({option: str(file)})
        assert len(str(caught.value).splitlines()) == 1
        assert own_files.present() == {}
    finally:
        forget()


def test_only_python_files_are_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("x = 1")
    for words, said in (
        (["--rule.file", str(tmp_path / "mine.txt")], "should end with .py"),
        (["--rule.file", str(tmp_path)], "it is a folder"),
        (["--data.file", str(tmp_path / "none.py")], "No such file"),
        (["--rule.file"], "--rule.file: needs a value"),
    ):
        assert cli.main(["train", *words]) == 2
        assert said in capsys.readouterr().err
    assert cli.main(["presets", "--rule.file", "mine.py"]) == 2
    assert "takes no settings" in capsys.readouterr().err


def test_installed_packages_offer_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def entries(*, group: str) -> EntryPoints:
        made = {
            "synaptrace.rules": [("packed", f"{__name__}:Twice"), ("broken", "nowhere.at:All")],
            "synaptrace.data": [("dots", "synaptrace.data.sets.digits")],
        }[group]
        return EntryPoints(EntryPoint(name, value, group) for name, value in made)

    monkeypatch.setattr(own, "entry_points", entries)
    assert rules.find("packed") is Twice
    assert {"packed", "tp"} <= set(rules.names())
    with pytest.raises(UserError, match=r"'broken' can't be loaded from nowhere\.at:All"):
        rules.find("broken")
    assert "dots" in data.names()
    assert set(data.options("dots")) == {"shift", "dt"}


def test_processes_of_their_own_know_the_files(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own_files.load({"rule.file": str(files[0])})
    monkeypatch.setattr(run, "end_with_parent", lambda: None)
    try:
        with run.fresh(1) as pool:
            begin, given = pool._initializer, pool._initargs  # type: ignore[attr-defined]
        forget()
        assert "refused" not in rules.names()
        begin(*given)
        assert "refused" in rules.names()
    finally:
        forget()


def test_memory_of_a_process_of_its_own_knows_the_files(files: tuple[Path, Path]) -> None:
    own_files.load({"rule.file": str(files[0])})
    try:
        assert process.peak_memory(needs_refused) >= 0  # else the process fails, and it is −1
    finally:
        forget()


def needs_refused() -> Any:
    return lambda: rules.find("refused")


def test_a_run_needs_a_name_of_its_own_for_a_rule_of_ones_own(tmp_path: Path) -> None:
    class Mine(OTTT):
        pass

    net, given = toy.make()[0], st.TensorData(*some(60))
    with pytest.raises(UserError, match=r"rule: Mine has the name 'ottt' .* give it its own"):
        st.fit(net, Mine(net), given, epochs=1, run=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    st.fit(net, Mine(net), given, epochs=1, progress=False)


def test_a_run_from_python_is_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    net, rule = toy.make()
    given = st.TensorData(*some(60), classes=["a", "b", "c"])
    kept, bare = tmp_path / "kept", tmp_path / "bare"
    st.fit(net, rule, given, epochs=1, run=kept, progress=False)
    expected = st.evaluate(net, given).accuracy
    assert st.evaluate(kept).accuracy == expected == st.evaluate(kept, given).accuracy
    assert cli.main(["evaluate", str(kept), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == expected
    assert cli.main(["plot", "curve", str(kept)]) == 0
    assert cli.main(["plot", "embedding", str(kept)]) == 0
    assert cli.main(["resume", str(kept)]) == 2
    assert "was trained from Python; call st.fit(…, resume=True)" in capsys.readouterr().err
    net, rule = toy.make()
    st.fit(net, rule, toy.Toy(), epochs=1, run=bare, progress=False)
    assert not (bare / "data.safetensors").exists()
    assert cli.main(["evaluate", str(bare)]) == 2
    told = capsys.readouterr().err
    assert "trained from Python on toy, which isn't kept beside it; give a file of" in told
    assert len(told.splitlines()) == 1
    other = st.TensorData(*some(60), seed=1)
    other.save(tmp_path / "other.safetensors")
    path = ["--data.path", str(tmp_path / "other.safetensors")]
    assert cli.main(["evaluate", str(kept), *path]) == 2
    assert "other classes or another split" in capsys.readouterr().err
