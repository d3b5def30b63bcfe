"""Fine-tuning to all users of Speech Commands: one training a seed without any, pooled queries."""

import json
from pathlib import Path

import pytest

import sounds
from synaptrace import cli
from synaptrace.config import resolve
from synaptrace.data.sets import speechcommands
from synaptrace.errors import UserError
from synaptrace.keyword import plan, table
from synaptrace.keyword.tuned import Cell
from synaptrace.training import job
from synaptrace.training import run as runs

WORDS = ("no", "up", "yes")
TAKES = {
    "0a2b400e": 5, "1b4c9b89": 4, "2da58b32": 3, "c50f55b8": 2,
    "3a70ddf8": 4, "4b1e6f02": 4, "5c7d8e90": 2,
}  # fmt: skip
"""Utterances of each word; the last but one validates, the one before is the test."""
VALIDATION, TEST = "4b1e6f02", "3a70ddf8"


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path_factory.getbasetemp() / "users-home"))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The official layout in small: users, others, and speakers of validation and test."""
    root = tmp_path_factory.mktemp("speech")
    lists = {VALIDATION: [], TEST: []}
    for number, word in enumerate(WORDS):
        for place, (speaker, takes) in enumerate(TAKES.items()):
            for take in range(takes):
                name = f"{word}/{speaker}_nohash_{take}.wav"
                pitch = 300.0 + 900 * number + 11 * place + 3 * take
                sounds.write(root / name, sounds.tone(pitch, 0.6, seed=take))
                lists.get(speaker, []).append(name + "\n")
    (root / "validation_list.txt").write_text("".join(lists[VALIDATION]))
    (root / "testing_list.txt").write_text("".join(lists[TEST]))
    return root


def speakers(data, split):
    return {data.meta.speakers[number] for number in data.speaker[data.index[split]].tolist()}


def test_users_are_in_no_split_of_the_training(path):
    data = speechcommands.load(path=path, holdout_users=4)
    assert {split: speakers(data, split) for split in data.index} == {
        "train": {"2da58b32", "5c7d8e90"},
        "validation": {VALIDATION},
        "test": {TEST},
        "users": {"0a2b400e", "1b4c9b89", "c50f55b8"},  # the last is published
    }
    assert data.meta.test_split == "official"
    assert len(data.index["users"]) == 3 * (5 + 4 + 2)
    everyone = speechcommands.load(path=path)
    assert sum(map(len, everyone.index.values())) == sum(map(len, data.index.values()))
    more = speechcommands.load(path=path, holdout_users=5, words="yes,no")
    assert speakers(more, "users") == {"0a2b400e", "c50f55b8"}


def test_bad_users_are_refused(path, tmp_path):
    with pytest.raises(UserError, match="holdout_users: 0 is not a positive number"):
        speechcommands.load(path=path, holdout_users=0)
    with pytest.raises(UserError, match=r"doesn.t go with data\.holdout_speaker"):
        speechcommands.load(path=path, holdout_users=4, holdout_speaker=TEST)
    sounds.speech_commands(tmp_path, words=("yes", "no"), noise=1.0)
    for file in tmp_path.glob("*/c50f55b8*"):
        file.rename(file.with_name(file.name.replace("c50f55b8", "d50f55b8")))
    for name in ("validation_list.txt", "testing_list.txt"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text.replace("c50f55b8", "d50f55b8"))
    with pytest.raises(UserError, match="no speaker has 3 utterances of each of 2 words"):
        speechcommands.load(path=tmp_path, holdout_users=3)


def test_one_training_a_seed_serves_all_users(path, tmp_path: Path, capsys):
    out = tmp_path / "s"
    words = ["finetune", "--preset", "speechcommands", "--data.path", str(path), "--speaker", "all",
             "--seeds", "2", "--shots", "1", "--alone", "--epochs", "1",
             "--model.hidden", "[24]", "--train.epochs", "8", "--train.ema", "0.9",
             "--data.batch_size", "4", "--out", str(out)]  # fmt: skip
    assert cli.main([*words, "--json"]) == 0
    caught = capsys.readouterr()
    assert caught.err.count("training without the users") == 2
    assert sorted(out.glob("**/pretrained")) == [out / f"seed-{n}" / "pretrained" for n in (0, 1)]
    found = json.loads(caught.out)
    assert len(found) == 3 * 2 * 2  # users, seeds, cells
    for each in found:
        takes = TAKES[each["speaker"]]
        # a user of two takes has none to be judged by
        assert each["sizes"] == {"query": 3 * (takes > 2), "general": 12, "validation": 12}
        assert each["samples"] == 3
        assert each["before"].keys() == each["after"].keys() == {"query", "general", "validation"}
    before = {(f["seed"], f["before"]["general"]) for f in found if not f["alone"]}
    assert len(before) == 2  # of a seed all users' network is the same one

    assert cli.main([*words, "--table"]) == 0
    header, *lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    line = dict(zip(header, lines[0], strict=True))
    own = [f for f in found if f["shots"] == 1 and not f["alone"] and f["sizes"]["query"]]
    right = sum(round(f["after"]["query"] * f["sizes"]["query"]) for f in own)
    assert line["pooled after %"] == f"{100 * right / 12:.2f}"
    assert float(line["validation before %"]) > 50


def test_a_new_word_alone_costs_no_user_another_training(path, tmp_path: Path, capsys):
    out = tmp_path / "s"
    words = ["finetune", "--preset", "speechcommands", "--data.path", str(path), "--speaker",
             "0a2b400e,1b4c9b89", "--word", "up", "--shots", "1", "--epochs", "1",
             "--model.hidden", "[8]", "--train.epochs", "1", "--quiet", "--json",
             "--out", str(out)]  # fmt: skip
    assert cli.main(words) == 0
    found = json.loads(capsys.readouterr().out)
    (trained,) = out.glob("**/pretrained")
    assert runs.read_config(trained).data["leave_out"] == "up"
    assert job.trained(trained).classes == ("no", "yes")
    for each in found:
        assert each["samples"] == each["words"] == 1  # and nothing else of the user
        assert each["sizes"] == {"query": 2, "new": 1, "general": 8, "validation": 8}
    with pytest.raises(UserError, match="leave_out: 'lamp' is none of no, up, yes"):
        speechcommands.load(path=path, leave_out="lamp")


def test_all_utterances_of_a_new_word_are_few_of_a_user():
    config = resolve(preset="speechcommands")
    assert plan.least(config, ["all"]) == plan.least(config, ["a", "b"]) == 3  # of four
    assert plan.least(config, ["a"]) is None
    more = resolve(preset="speechcommands", overrides={"data.holdout_users": "10"})
    assert plan.least(more, ["a"]) == 8
    assert plan.least(resolve(preset="fsdd"), ["all"]) is None


def test_a_run_that_holds_users_out_is_fine_tuned_to_each(path, tmp_path: Path, capsys):
    words = ["train", "--preset", "speechcommands", "--data.path", str(path), "--model.hidden",
             "[8]", "--train.epochs", "1", "--data.holdout_users", "4", "--out",
             str(tmp_path / "r"), "--quiet"]  # fmt: skip
    assert cli.main(words) == 0
    (run,) = (tmp_path / "r").iterdir()
    capsys.readouterr()
    tune = ["finetune", str(run), "--epochs", "1", "--shots", "1", "--json", "--quiet"]
    assert cli.main([*tune, "--speaker", "0a2b400e,1b4c9b89"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["speaker"] for each in found] == ["0a2b400e", "1b4c9b89"]
    assert all(Path(each["run"]).parent == run for each in found)
    assert cli.main(["evaluate", found[0]["run"], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["accuracy"] == found[0]["after"]["query"]
    assert cli.main([*tune, "--speaker", "2da58b32"]) == 2
    assert "holds out 0a2b400e, 1b4c9b89, c50f55b8, not 2da58b32" in capsys.readouterr().err


def test_queries_are_pooled_and_users_counted_once():
    """Two users, of one and three queries, over two seeds."""

    def made(speaker, size, share):
        return {"speaker": speaker, "after": {"query": share}, "sizes": {"query": size}}

    found = [made("a", 1, 1.0), made("a", 1, 0.0), made("b", 3, 1.0), made("b", 3, 1.0)]
    assert table.pooled(found, "after") == "87.50"
    assert table.by_speaker(found) == [50.0, 100.0]
    assert table.error(table.by_speaker(found)) == "25.00"
    assert table.cells((Cell(1, 1, None), []))[-2:] == ["0.001", "20"]
