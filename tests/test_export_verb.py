"""`synaptrace export --to c`: runs become folders that build, test themselves, and learn."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import c_program
import sounds
from synaptrace import cli, rules
from synaptrace.errors import UserError
from synaptrace.rules.tp import TracesPropagation
from synaptrace.ship.c import count, plan, rehearsal
from synaptrace.training import run as runs

ARM = shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")
needs_gcc = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("make")), reason="no C compiler (gcc, make)"
)
needs_arm = pytest.mark.skipif(
    not ARM, reason="no arm-none-eabi-gcc or qemu-system-arm (gcc-arm-none-eabi, qemu-system-arm)"
)
QUICK = ["--train.epochs", "1", "--train.threads", "1", "--quiet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Small runs: digits dense and convolutional, and spoken digits fine-tuned to a speaker."""
    root = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNAPTRACE_DATA", str(root / "home"))
        patch.chdir(root)
        data = sounds.fsdd(root / "fsdd", range(12))
        small = ["--model.hidden", "[24]", *QUICK]
        assert cli.main(["train", *small]) == 0
        conv = ["--preset", "digits-conv", "--model.channels", "[[4, [max, 2]]]", *QUICK]
        assert cli.main(["train", *conv]) == 0
        spoken = ["--preset", "fsdd", "--data.path", str(data), "--data.holdout_speaker", "bob"]
        assert cli.main(["train", *spoken, *small]) == 0
        (run,) = root.glob("runs/*-fsdd")
        delta = ["--data.encoding", "delta", "--data.noise", "0", "--out", str(root / "delta")]
        assert (
            cli.main(["train", "--preset", "fsdd", "--data.path", str(data), *small, *delta]) == 0
        )
        words = ["finetune", str(run), "--speaker", "bob", "--shots", "1", "--epochs", "1"]
        assert cli.main([*words, "--quiet"]) == 0
        yield {
            "digits": next(root.glob("runs/*-digits")),
            "conv": next(root.glob("runs/*-digits-conv")),
            "held": run,
            "delta": next(root.glob("delta/*-fsdd")),
            "fsdd": next(file.parent for file in run.rglob("tuned.json")),
            "sounds": data / "recordings",
        }


def export(run: Path, out: Path, *words: str) -> int:
    return cli.main(["export", str(run), "--to", "c", "--out", str(out), *words])


def evaluated(run: Path, capsys) -> str:
    assert cli.main(["evaluate", str(run), "--json"]) == 0
    return capsys.readouterr().out


def make(out: Path, *words: str) -> str:
    done = subprocess.run(["make", *words], cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in done.stderr, done.stderr
    return done.stdout


CASES = {
    "digits that learn": ("digits", ["--learn", "all"]),
    "digits of int8": ("digits", ["--precision", "int8"]),
    "maps": ("conv", []),
    "maps of int16": ("conv", ["--precision", "int16"]),
    "maps whose readout learns": ("conv", ["--learn", "readout"]),
    "speech that learns": ("fsdd", ["--learn", "all", "--front-end"]),
    "speech that is rehearsed": ("fsdd", ["--learn", "readout", "--rehearse", "2"]),
    "speech that learns in int16": (
        "fsdd",
        ["--learn", "all", "--rehearse", "2", "--precision", "int16"],
    ),
    "speech of int8": ("fsdd", ["--front-end", "--precision", "int8"]),
    "spikes of int8": ("delta", ["--front-end", "--precision", "int8"]),
}


@needs_gcc
@pytest.mark.parametrize("name", CASES)
def test_it_builds_and_passes_its_own_test(name: str, made, tmp_path: Path, capsys):
    kind, words = CASES[name]
    assert export(made[kind], tmp_path / "c", *words) == 0
    printed = capsys.readouterr().out
    test = json.loads(evaluated(made[kind], capsys))
    whose = "the query of bob" if kind == "fsdd" else "the test set"
    assert f"right of all {test['samples']} samples of {whose}" in printed
    said = make(tmp_path / "c", "OPTIMISE=-O1", "example", "test")
    assert said.count("\nok\n") == 2
    assert ("learning: after" in said) == ("--learn" in words)
    about = json.loads((tmp_path / "c" / "export.json").read_text())
    if "--precision" in words:
        assert set(about["accuracy"]) == {"float32", words[-1]}
        assert abs(about["accuracy"]["float32"] - about["accuracy"][words[-1]]) < 0.1
    assert about["accuracy"]["float32"] == test["accuracy"]
    sizes = [each["samples"] for each in about["tested"]]
    assert sizes == [test["samples"], *([50] if kind == "fsdd" else [])]
    text = (tmp_path / "c" / "README.md").read_text()
    assert f"{100 * about['accuracy']['float32']:.2f} %" in text
    assert str(about["bytes"]["weights"]) in text


def test_what_was_fine_tuned_in_int8_is_what_ships(made, tmp_path: Path, capsys):
    words = ["finetune", str(made["held"]), "--shots", "1", "--epochs", "2", "--quiet"]
    assert cli.main([*words, "--precision", "int8", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    run = Path(found["run"])
    assert run.name.endswith("-int8")
    assert json.loads((run / "tuned.json").read_text())["cell"]["precision"] == "int8"
    assert export(run, tmp_path / "c", "--precision", "int8") == 0
    about = json.loads((tmp_path / "c" / "export.json").read_text())
    first, before = about["tested"]
    assert first["accuracy"]["float32"] == found["after"]["query"]
    assert before["accuracy"]["float32"] == found["after"]["general"]
    net = runs.load(run)
    text = (tmp_path / "c" / "model.c").read_text()
    table = re.search(r"readout_weight\[[^]]*\] = \{([^}]*)\}", text)
    shipped = torch.tensor([int(n) for n in table[1].split(",") if n.strip()]).view(24, 10).t()
    weight = net.readout.weight.detach()
    step = float(weight.abs().max()) / int(shipped.abs().max())
    assert torch.equal(shipped * step, weight)
    assert len(shipped.unique()) > 20


@needs_gcc
def test_a_broken_network_fails_its_test(made, tmp_path: Path):
    assert export(made["digits"], tmp_path / "c", "--learn", "all") == 0
    model, errors, blob = (tmp_path / "c" / name for name in ("model.h", "errors.c", "blob.c"))
    for file, old, new in (
        (model, "READOUT_DECAY R(1.0)", "READOUT_DECAY R(0.99999)"),
        (errors, "* l->share / tau", "* l->share * R(1.1) / tau"),
        (blob, "crc >> 1 ^ (crc & 1u", "crc >> 1 ^ (0u"),
        (blob, "!sound(blob + 16)", "sound(blob + 16) > 1"),
    ):
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        words = ["make", "OPTIMISE=-O0", "test"]
        done = subprocess.run(words, cwd=tmp_path / "c", capture_output=True, text=True)
        assert done.returncode
        assert "FAILED" in done.stdout
        file.write_text(text)


@needs_gcc
def test_the_example_says_what_predict_says_and_learns(made, tmp_path: Path, capsys):
    out = tmp_path / "c"
    assert export(made["fsdd"], out, "--learn", "all", "--front-end") == 0
    make(out, "example")
    heard = [str(made["sounds"] / f"{digit}_bob_{n}.wav") for digit in range(10) for n in (0, 7)]
    capsys.readouterr()
    assert cli.main(["predict", str(made["fsdd"]), *heard]) == 0
    wanted = [line.split("\t")[1] for line in capsys.readouterr().out.splitlines()]

    def example(*words: str) -> list[str]:
        done = subprocess.run(["./example", *words], cwd=out, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def answers(lines: list[str]) -> list[str]:
        return [line.split("\t")[1] for line in lines]

    assert answers(example(*heard)) == wanted
    more = [sounds.followed(name, tmp_path / Path(name).name) for name in heard]
    assert answers(example(*more)) == wanted  # what follows the samples isn't heard
    bare = tmp_path / "bare.wav"
    bare.write_bytes(Path(heard[0]).read_bytes()[:36])
    done = subprocess.run(["./example", str(bare)], cwd=out, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")  # it has no samples
    asked = [f"{Path(name).name[0]}=={name}" for name in heard]
    lessons = [word.replace("==", "=") for word in asked]
    *after, told = example(*lessons, "epochs:40", "save:kept.bin", *asked)
    assert example("load:kept.bin", *heard) == after
    right = sum(
        name == Path(path).name[0] for name, path in zip(answers(after), heard, strict=True)
    )
    assert told == f"{right} of 20 are right"
    assert right > 15
    (out / "kept.bin").write_bytes((out / "kept.bin").read_bytes()[:-5])
    done = subprocess.run(["./example", "load:kept.bin"], cwd=out, capture_output=True, text=True)
    assert done.returncode == 2
    assert "damaged" in done.stderr


@needs_gcc
@pytest.mark.parametrize("precision", ["float32", "int16"])
def test_a_stream_is_decided_on_as_listen_does(precision: str, made, tmp_path: Path, capsys):
    out, pause = tmp_path / "c", torch.zeros(3000)
    words = ["--front-end", "--decide", "--precision", precision]
    assert export(made["held"], out, *words) == 0
    make(out, "OPTIMISE=-O1", "example")
    said = [torch.cat([sounds.tone(300.0 + 300 * digit, 0.3, 8000), pause]) for digit in range(10)]
    clicked = torch.cat(
        [pause, *said[:5], sounds.tone(500.0, 0.03, 8000), *said[5:], said[0][:900]]
    )
    stream = sounds.write(tmp_path / "stream.wav", clicked, 8000)
    capsys.readouterr()
    assert cli.main(["listen", str(made["held"]), "--wav", str(stream)]) == 0
    wanted = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    words = ["./example", f"listen:{stream}"]
    done = subprocess.run(words, cwd=out, capture_output=True, text=True, check=True)
    got = [line.split("\t") for line in done.stdout.splitlines()]
    assert len(wanted) == 11
    assert len({word for _, word, _ in wanted}) > 1
    assert [time for time, _, _ in got] == [time for time, _, _ in wanted]
    if precision == "float32":
        assert [word for _, word, _ in got] == [word for _, word, _ in wanted]
        off = [abs(float(a[2]) - float(b[2])) for a, b in zip(got, wanted, strict=True)]
        assert max(off) < 1e-3


@needs_arm
@pytest.mark.parametrize(
    ("kind", "words", "core"),
    [
        ("fsdd", ["--learn", "all", "--front-end"], "m4"),
        ("conv", ["--precision", "int8"], "m0"),
        ("digits", ["--learn", "readout"], "m3"),
    ],
)
def test_an_emulated_processor_gives_the_same_bits(kind, words, core, made, tmp_path: Path):
    assert export(made[kind], tmp_path / "c", *words) == 0
    said = make(tmp_path / "c", f"test-{core}")
    assert said.endswith("ok\n")
    counted = dict(re.findall(r"instructions of (.*): (\d+)", said))
    assert set(counted) >= {"a step"} | ({"an update"} if "--learn" in words else set())
    assert all(int(each) > 100 for each in counted.values())


SIZES = [
    ("fsdd", ["--learn", "all", "--front-end"]), ("conv", []), ("digits", ["--learn", "all"]),
    ("fsdd", ["--precision", "int8"]), ("fsdd", ["--learn", "all", "--rehearse", "1"]),
    ("delta", ["--front-end", "--precision", "int8"]),
    ("fsdd", ["--learn", "all", "--precision", "int16"]),
    ("held", ["--front-end", "--decide", "--precision", "int8"]),
]  # fmt: skip


@needs_arm
@pytest.mark.parametrize(("kind", "words"), SIZES)
def test_bytes_are_those_of_the_objects(kind: str, words: list[str], made, tmp_path: Path):
    out = tmp_path / "c"
    assert export(made[kind], out, *words) == 0
    learns, ears, decides = (f"--{each}" in words for each in ("learn", "front-end", "decide"))
    text = '#include "model.h"\nstruct model m;\n'
    text += '#include "learn.h"\nstruct learner l;\n' if learns else ""
    text += '#include "features.h"\nstruct features f;\n' if ears else ""
    text += '#include "decide.h"\nstruct ear e;\n' if decides else ""
    (out / "structs.c").write_text(text)
    learning = [*out.glob("learn.c"), *out.glob("errors*.c"), *out.glob("blob.c")]
    parts = ["model.c", "structs.c", "infer.c", *(path.name for path in learning),
             *(["features.c"] if ears else []), *(["decide.c"] if decides else [])]  # fmt: skip
    arm = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16",
           "-mfloat-abi=hard", "-O2", "-std=c99", "-fstack-usage", "-c"]  # fmt: skip
    subprocess.run([*arm, *parts], cwd=out, check=True)
    sized = subprocess.run(
        ["arm-none-eabi-size", "model.o", "structs.o"], cwd=out, capture_output=True, text=True
    ).stdout.splitlines()
    (flash, *_), (_, _, ram, *_) = (map(int, line.split()[:3]) for line in sized[1:])
    found = json.loads((out / "export.json").read_text())["bytes"]
    assert count.flash(found) == pytest.approx(flash, rel=0.02)
    assert count.ram(found) - count.STACK == pytest.approx(ram, rel=0.02)
    # Nothing recurs: a call takes no more than all frames of its file and of infer.c, or, where
    # learn.c calls, of the three largest of errors*.c, which calls no deeper.
    frames = {}
    for part in parts[2:]:
        lines = (out / part).with_suffix(".su").read_text().splitlines()
        sizes = sorted((int(line.split("\t")[1]) for line in lines), reverse=True)
        frames[part] = sum(sizes[:3] if part.startswith("errors") else sizes)
    errors = sum(size for name, size in frames.items() if name.startswith("errors"))
    above = frames.get("learn.c", 0) + max(errors, frames["infer.c"])
    deepest = max(above, frames.get("features.c", 0), frames["infer.c"])
    deepest += frames.get("decide.c", 0)
    assert 50 < deepest <= count.STACK


def test_memory_counts_the_same(made, tmp_path: Path, capsys):
    assert export(made["fsdd"], tmp_path / "c", "--learn", "all") == 0
    found = json.loads((tmp_path / "c" / "export.json").read_text())["bytes"]
    shape = ["--preset", "fsdd", "--input", "120", "--classes", "10", "--steps", "50"]
    words = ["memory", "--to", "c", *shape, "--model.hidden", "[24]", "--json"]
    capsys.readouterr()
    assert cli.main(words) == 0
    rows = {row["program"]: row for row in json.loads(capsys.readouterr().out)}
    assert {key: rows["all learn, Adam"][key] for key in found} == found
    size = sum(found.values())
    for budget, hidden in ((size, 24), (size - 1, 23)):
        assert cli.main([*words, "--budget", str(budget)]) == 0
        fits = {row["program"]: row for row in json.loads(capsys.readouterr().out)}
        assert fits["all learn, Adam"]["hidden"] == hidden
    assert cli.main([*words, "--sweep", "T"]) == 2


def refused(capsys, out: Path, words: list[str], pattern: str) -> None:
    capsys.readouterr()
    assert cli.main(words) == 2
    caught = capsys.readouterr()
    assert re.search(pattern, caught.err), caught.err
    assert caught.err.count("\n") == 1
    assert not out.exists()


def test_refusals_are_one_line_and_leave_nothing(made, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(rehearsal, "ROOM", 1000000)
    out = tmp_path / "new" / "c"
    for kind, words, pattern in (
        ("digits", ["--learn", "layers.1"], "'layers.1' is none of all, readout, layers.0"),
        ("conv", ["--learn", "all"], "convolutions don't learn in C"),
        ("digits", ["--learn", "all", "--precision", "int8"], "weights of int8 don't learn"),
        ("digits", ["--precision", "float16"], "'float16' is none of float32, int16, int8"),
        ("digits", ["--front-end"], "not trained on sound"),
        ("digits", ["--rehearse", "2"], "--rehearse: needs --learn"),
        ("fsdd", ["--decide"], "--decide: needs --front-end"),
        ("digits", ["--learn", "all", "--rehearse", "0"], "--rehearse: 0 is not a positive"),
        ("digits", ["--learn", "all", "--rehearse", "999"], "999 a class are more than 1000000 b"),
        ("digits", ["--target", "norse"], "--target: --to c has no such choice"),
    ):  # fmt: skip
        run = ["export", str(made[kind]), "--to", "c", "--out", str(out), *words]
        refused(capsys, out, run, pattern)
    run = ["export", str(made["digits"]), "--to", "d", "--out", str(out)]
    refused(capsys, out, run, "--to: 'd' is none of c")
    (tmp_path / "empty").mkdir()
    run = ["export", str(tmp_path / "empty"), "--to", "c", "--out", str(out)]
    refused(capsys, out, run, "holds no checkpoint")
    assert not out.parent.exists()


@needs_gcc
def test_without_its_data_a_run_ships_what_was_kept_with_it(made, tmp_path: Path, capsys):
    words = ["--data.path", str(tmp_path / "gone"), "--learn", "all", "--rehearse", "2"]
    assert export(made["fsdd"], tmp_path / "c", *words) == 0
    caught = capsys.readouterr()
    assert "kept with the run stand in, untested" in caught.err
    assert "float32\t-\tnot tested" in caught.out
    assert "right of" not in caught.out
    assert make(tmp_path / "c", "OPTIMISE=-O1", "test").count("\nok\n") == 2
    refused(
        capsys, tmp_path / "d",
        ["export", str(made["digits"]), "--to", "c", "--out", str(tmp_path / "d"),
         "--data.path", str(tmp_path / "gone")], "gone",
    )  # fmt: skip


def test_what_is_no_export_stays(made, tmp_path: Path, capsys):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    assert export(made["digits"], mine) == 2
    assert "exists and is no export" in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]
    out = tmp_path / "c"
    assert export(made["digits"], out, "--learn", "all") == 0
    assert export(made["digits"], out) == 0  # an export gives way to another
    assert not (out / "learn.c").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "mine"]


def test_rules_without_a_form_in_c(made, tmp_path: Path, capsys, monkeypatch):
    net, rule = c_program.dense([8], standardise=True)
    for each, pattern in (
        (rule, "standardised weights"),
        (TracesPropagation(net, train_label=True), "rule.train_label has no form in C"),
        (None, "no rule has no form in C"),
    ):
        with pytest.raises(UserError, match=pattern):
            plan.plan(net, each, "all")
    load = runs.load

    def other(run: Path, rule: bool = False):
        net, _ = load(run, rule=True)
        return net, rules.build(net, "ottt")

    monkeypatch.setattr(runs, "load", other)
    out = tmp_path / "c"
    words = ["export", str(made["digits"]), "--to", "c", "--out", str(out), "--learn", "all"]
    refused(capsys, out, words, "--learn: ottt has no form in C; tp has")
