"""Calibrated listening: what is sure, what is refused, and what a rate of alarms stands on."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

import sounds
from synaptrace import cli
from synaptrace.build import mlp
from synaptrace.data.audio.features import Features
from synaptrace.errors import UserError
from synaptrace.keyword import alarms, calibrate, calibrated, decide, listen
from synaptrace.keyword.alarms import Clip, Curve, Decision
from synaptrace.seeds import generator
from synaptrace.training import checkpoint, job

RATE = 8000
CLASSES = ("high", "low", "other")


def clips(count, first=20):
    """Tones that the training didn't have."""
    pitches = {"low": 300.0, "high": 1300.0, "other": 2300.0}
    return [
        Clip(sounds.tone(pitches[name] + 5 * i, 0.5, RATE, seed=first + i), name)
        for name in CLASSES
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training on three tones that a folder holds."""
    root = tmp_path_factory.mktemp("calibrated")
    return sounds.tones_run(root, ("low", "high", "other"), RATE, epochs=40)


@pytest.fixture(scope="module")
def trained(run):
    return job.trained(run)


@pytest.fixture(scope="module")
def net(trained):
    return trained.net


@pytest.fixture(scope="module")
def features(trained):
    return Features.from_spec(trained.features)


@pytest.fixture(scope="module")
def calibration(net, features):
    return calibrate.calibrate(net, features, CLASSES, clips(4), clips(6, 40))


def test_streams_side_by_side_are_heard_as_one_after_the_other_is(net, features, monkeypatch):
    monkeypatch.setattr(alarms, "WIDTH", 3)
    spoken, settings = clips(4), decide.Settings()
    found, hours = alarms.heard(net, features, CLASSES, spoken, settings, seed=5)
    streams, said = alarms.together(spoken, RATE, 5)
    assert streams.shape[0] == 3
    assert hours == pytest.approx(streams.numel() / RATE / 3600)
    words = []
    sure = decide.Settings(confidence=0.0)
    for stream, there in zip(streams, said, strict=True):
        for report in listen.listen(net, features, CLASSES, [stream], sure):
            if report.state == "word":
                words.append((alarms.overlapping(report, there), report.label, report.probability))
    assert len(words) >= len(spoken)
    assert sorted(words) == sorted((d.clip, d.label, d.probability) for d in found)


def test_what_was_never_learned_is_refused_and_words_are_not(net, features, calibration):
    curve = calibration.curve
    assert curve.rejected_at(calibrate.CONFIDENCE) < 0.2
    chirp = torch.sin(torch.arange(4000) ** 2 * 3e-4) * 0.3
    others = [Clip(chirp * (1 + i / 10), None) for i in range(6)]
    plain, _ = alarms.heard(net, features, CLASSES, others, decide.Settings())
    judged, _ = alarms.heard(net, features, CLASSES, others, decide.Settings(), calibration)
    assert max(each.probability for each in plain) > 0.5  # a softmax takes it for a word
    assert max(each.probability for each in judged) < calibrate.CONFIDENCE
    measured = calibrate.measure(net, features, CLASSES, clips(3), calibration, others=others)
    assert measured.alarms_at(calibrate.CONFIDENCE) == 0
    assert measured.rejected_at(calibrate.CONFIDENCE) < 0.2


def test_the_temperature_is_where_the_log_loss_is_least():
    draws = generator(0, "logits")
    labels = torch.randint(3, (400,), generator=draws)
    logits = torch.nn.functional.one_hot(labels, 3) * 2 + torch.randn(400, 3, generator=draws)
    decisions = [alarms.Decision(0, "", 0.0, 5 * each, torch.zeros(1)) for each in logits]
    found = calibrate.warmth(decisions, labels.tolist())

    def loss(t):
        return float(torch.nn.functional.cross_entropy(5 * logits / t, labels))

    assert loss(found) < min(loss(1.1 * found), loss(found / 1.1))
    assert loss(found) < loss(1.0) - 0.1


def test_the_border_is_a_logistic_regression():
    near, far = [1.0, 2.0, 3.0, 4.0], [3.0, 5.0, 6.0, 7.0]
    middle, width = calibrate.border(near, far)
    assert 3 < middle < 5
    assert width > 0
    assert calibrate.sure(middle, middle, width) == pytest.approx(0.5)
    assert calibrate.sure(1.0, middle, width) > 0.8 > 0.2 > calibrate.sure(7.0, middle, width)
    assert calibrate.sure(math.inf, middle, width) == 0
    assert calibrate.border([5.0], [4.0]) == (1e6, 1.0)  # words aren't nearer: nothing is refused


def test_a_curve_says_no_more_than_its_hours():
    curve = Curve([0.9, 0.8, 0.3, -1.0], [0.7, 0.5, 0.2], 0.5)
    assert [curve.alarms_at(c) for c in (0.0, 0.5, 0.6, 0.71)] == [3, 2, 1, 0]
    assert [curve.rejected_at(c) for c in (0.0, 0.5, 0.85)] == [0.25, 0.5, 0.75]
    for rate, alarms_left in ((6.0, 3), (4.0, 2), (2.0, 1), (1.9, 0), (0.0, 0)):
        chosen = curve.confidence(rate)
        assert curve.alarms_at(chosen) == alarms_left
    assert alarms.said_rate(0, 0.5) == "below 6.0 an hour (none in 0.50 h)"
    assert alarms.said_rate(2, 0.5) == "4.0 an hour (2 in 0.50 h)"
    rows = curve.rows()
    assert rows[0] == (0.0, 6.0, 0.25)
    assert [rate for _, rate, _ in rows] == sorted((rate for _, rate, _ in rows), reverse=True)
    assert Curve(**json.loads(json.dumps(curve.as_dict()))) == curve


def test_a_calibration_is_kept_with_its_weights(net, calibration, tmp_path: Path):
    assert calibrated.read(tmp_path, net) is None
    calibrated.save(tmp_path, net, calibration)
    found = calibrated.read(tmp_path, net)
    assert found is not None
    assert found.curve == calibration.curve
    logits, counts = torch.tensor([1.0, 0.5, 0.0]), 3 * torch.rand(2, 40)
    assert found(logits, counts) == calibration(logits, counts)
    other = mlp(120, [40], 3, recurrent=True, generator=generator(1, "weights"))
    assert calibrated.read(tmp_path, other) is None  # it is of other weights
    file = tmp_path / calibrated.FILE
    tensors, meta = checkpoint.load(file)
    parts = {"utterances": checkpoint.part(tensors, "utterances")}
    for wrong in ({"curve": meta["curve"] | {"words": ["many"]}}, {"width": 0.0}):
        about = {key: value for key, value in meta.items() if key != "format"} | wrong
        checkpoint.save(file, parts, about)
        with pytest.raises(UserError, match=next(iter(wrong))):
            calibrated.read(tmp_path, net)
    checkpoint.save(file, parts, {key: meta[key] for key in meta if key != "format"})
    assert calibrated.read(tmp_path, net) is not None
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"calibration\.safetensors"):
        calibrated.read(tmp_path, net)


def heard_states(samples, **options):
    settings, ear, states = decide.Settings(**options), decide.Ear(), []
    for level in decide.loudness(samples, 160).tolist():
        reports, ear = decide.decide(
            0.02, CLASSES, settings, ear, level, torch.zeros(2), torch.ones(3)
        )
        states += [r.state for r in reports]
    return states


@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_the_silence_level_follows_the_noise(gain):
    noise = 0.03 * torch.randn(12 * RATE, generator=generator(0, "noise"))
    loud = noise.clone()
    loud[8 * RATE : 8 * RATE + 4000] += sounds.tone(500, 0.5, RATE)
    after = heard_states(gain * loud)[-3:]
    assert after == ["sound", "word", "silence"]
    assert heard_states(0.01 * noise) == ["silence"]  # what is fainter than LOWEST
    assert "silence" not in heard_states(loud, silence=-50.0)[1:]  # a fixed one is below the noise
    quiet = torch.zeros(3 * RATE)
    quiet[RATE : RATE + 4000] = 0.0053 * torch.sin(torch.arange(4000) * 0.4)  # at −48.5 dB
    assert heard_states(quiet) == ["silence", "sound", "word", "silence"]
    assert "word" in heard_states(0.5 * quiet)  # at −54.5 dB
    assert "word" not in heard_states(0.5 * quiet, silence=-50.0)


def test_training_calibrates_and_listening_tells_what_it_stands_on(run, tmp_path, capsys):
    assert (run / calibrated.FILE).is_file()
    tone = torch.cat([torch.zeros(RATE), sounds.tone(310, 0.5, RATE), torch.zeros(RATE)])
    path = sounds.write(tmp_path / "a.wav", tone, RATE)
    listen_to = ["listen", str(run), "--wav", str(path)]
    assert cli.main(listen_to) == 0
    assert f"confidence {calibrate.CONFIDENCE:.4f}" in capsys.readouterr().err
    assert cli.main([*listen_to, "--false-alarms-per-hour", "0"]) == 0
    said = capsys.readouterr().err
    assert "below" in said
    assert "none in" in said
    assert cli.main([*listen_to, "--false-alarms-per-hour", "0", "--confidence", "0"]) == 0
    assert capsys.readouterr().err == ""
    assert cli.main([*listen_to, "--false-alarms-per-hour", "nan"]) == 2


def test_evaluate_tells_of_streams(run, tmp_path, capsys):
    assert cli.main(["evaluate", str(run), "--streams"]) == 0
    out = capsys.readouterr().out
    assert "(as it listens)" in out
    table = (run / "alarms.csv").read_text().splitlines()
    assert table[0] == "confidence,false_alarms_per_hour,false_rejections"
    assert (run / "alarms.png").stat().st_size > 1000
    sounds.write(tmp_path / "strange" / "a.wav", sounds.tone(4000, 0.5, RATE), RATE)
    words = ["evaluate", str(run), "--streams", "--json", "--others", str(tmp_path)]
    assert cli.main([*words, "--false-alarms-per-hour", "0"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["alarms"]) <= 2
    calibration = calibrated.read(run, job.trained(run).net)
    assert calibration is not None
    assert found["confidence"] == calibration.curve.confidence(0) != calibrate.CONFIDENCE
    assert cli.main([*words, "--false-alarms-per-hour", "-1"]) == 2
    assert cli.main(["evaluate", str(run), "--false-alarms-per-hour", "6"]) == 2
    assert "--false-alarms-per-hour: goes with --streams" in capsys.readouterr().err
    assert cli.main(["evaluate", str(run), "--streams", "--neurobench"]) == 2
    assert "--neurobench" in capsys.readouterr().err
    assert cli.main(["evaluate", str(run), "--others", str(tmp_path)]) == 2
    assert "--streams" in capsys.readouterr().err


def test_a_run_of_an_earlier_version_listens_as_it_did(run, tmp_path, capsys):
    old = tmp_path / "old"
    shutil.copytree(run, old)
    (old / calibrated.FILE).unlink()
    path = sounds.write(tmp_path / "a.wav", sounds.tone(310, 0.5, RATE), RATE)
    assert cli.main(["listen", str(old), "--wav", str(path)]) == 0
    assert capsys.readouterr().err == ""
    words = ["listen", str(old), "--wav", str(path), "--false-alarms-per-hour", "6"]
    assert cli.main(words) == 2
    assert "isn't calibrated" in capsys.readouterr().err


def test_fine_tuning_calibrates_on_what_it_learned(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "home"))
    for place, name in enumerate(("low", "high", "other")):
        for number in range(4):
            tone = sounds.tone(350 + 1000 * place + 10 * number, 0.5, RATE, seed=number)
            sounds.write(tmp_path / "mine" / name / f"{number}.wav", tone, RATE)
    words = ["finetune", str(run), "--words", str(tmp_path / "mine"), "--epochs", "2", "--json",
             "--out", str(tmp_path / "tuned")]  # fmt: skip
    assert cli.main(words) == 0
    made = Path(json.loads(capsys.readouterr().out)["run"])
    found = calibrated.read(made, job.trained(made).net)
    assert found is not None
    assert found.basis == "the recordings that it learned from"
    assert len(found.curve.words) == 12


def test_what_is_no_word_moves_no_number_of_what_is(net, features):
    none = [Clip(sounds.tone(800.0 + 9 * i, 0.5, RATE, seed=i), None) for i in range(3)]
    plain, mixed = (
        calibrate.calibrate(net, features, CLASSES, some, [], user=True)
        for some in (clips(4), [*none, *clips(4)])
    )
    assert plain.curve.rejected_at(0.0) == 0  # they are heard
    assert (mixed.middle, mixed.width) == (plain.middle, plain.width)
    assert mixed.curve == plain.curve


def test_words_that_are_not_heard_anew_stay_known(net, features, calibration):
    high, other = (calibration.labels == label for label in (0, 2))
    assert high.any()
    assert other.any()
    old = [clip for clip in clips(2, 60) if clip.word == "low"]
    mine = [clip for clip in clips(3, 70) if clip.word == "high"]
    found = calibrate.calibrate(
        net, features, CLASSES, mine, [], user=True, old=old, before=calibration
    )
    counts = [int((found.labels == label).sum()) for label in range(3)]
    assert counts == [3 + int(high.sum()), 2, int(other.sum())]


def test_other_weights_leave_the_calibration_of_a_run(run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    before, last = (copy / calibrated.FILE).read_bytes(), copy / "checkpoints" / "last.safetensors"
    tensors, meta = checkpoint.load(last)
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts.setdefault(part, {})[rest] = 1.1 * tensor if rest == "readout.weight" else tensor
    checkpoint.save(last, parts, {key: value for key, value in meta.items() if key != "format"})
    assert calibrated.digest(job.trained(last).net) != calibrated.digest(job.trained(copy).net)
    assert cli.main(["evaluate", str(last), "--streams"]) == 0
    assert (copy / calibrated.FILE).read_bytes() == before
    capsys.readouterr()


def test_recordings_are_found_whatever_their_names(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "home"))
    for place, name in enumerate(("low", "high")):
        tone = sounds.tone(350 + 1000 * place, 0.5, RATE, seed=place)
        sounds.write(tmp_path / "mine" / name / "take#1.wav", tone, RATE)
        sounds.write(tmp_path / "mine" / name / "LOUD.WAV", 2 * tone, RATE)
    words = ["finetune", str(run), "--words", str(tmp_path / "mine"), "--epochs", "1", "--json",
             "--out", str(tmp_path / "tuned")]  # fmt: skip
    assert cli.main(words) == 0
    said = capsys.readouterr()
    assert "not calibrated" not in said.err
    assert (Path(json.loads(said.out)["run"]) / calibrated.FILE).is_file()


def test_fine_tuning_calibrates_on_data_that_have_moved(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNAPTRACE_DATA", str(tmp_path / "home"))
    there = Path(job.trained(run).config.data["path"])
    shutil.copytree(there, tmp_path / "moved")
    for name in ("low", "high"):
        sounds.write(tmp_path / "mine" / name / "0.wav", sounds.tone(350, 0.5, RATE), RATE)
    heard, given = calibrated.calibrate, {}
    monkeypatch.setattr(calibrated, "calibrate", lambda *a, **k: given.update(k) or heard(*a, **k))
    words = ["finetune", str(run), "--words", str(tmp_path / "mine"), "--epochs", "1", "--json",
             "--out", str(tmp_path / "tuned"), "--data.path", str(tmp_path / "moved")]  # fmt: skip
    there.rename(tmp_path / "gone")
    try:
        assert cli.main(words) == 0
    finally:
        (tmp_path / "gone").rename(there)
    assert given["old"]
    capsys.readouterr()


def test_a_rate_that_is_asked_for_is_kept_with_certainty():
    curve = Curve([1.0], [number / 100 for number in range(1, 51)], hours=1.0)
    assert curve.surely(2.9) == 0.5001  # the rule of three: none of them, as of below 3
    assert curve.surely(4.7) == 0.5001
    assert curve.surely(4.75) == 0.4901  # one in an hour is below 4.744 an hour
    assert curve.alarms_at(curve.surely(16.97)) == 10  # as tables of Poisson's limits have it
    assert curve.alarms_at(curve.surely(16.95)) == 9
    assert curve.surely(0) == curve.confidence(0)
    assert curve.surely(1000) == 0.0


def test_a_stranger_is_measured_against_other_voices(calibration):
    """So its distance is to the utterance that another said."""
    counts = torch.ones(2, calibration.known.shape[1] // 2)
    near = calibrate.roots(counts)
    known, labels = torch.stack([near, near + 16, near]), torch.tensor([1, 1, 0])
    said = Clip(torch.zeros(1), CLASSES[0], "ann")
    each = Decision(0, CLASSES[0], 1.0, torch.tensor([9.0, 5.0, -99.0]), counts)
    asked = [each], [said], CLASSES, known, labels, 1.0
    (plain,), (other,) = (
        calibrate.unlearned(*asked, voices) for voices in ((), ("ann", "bob", "ann"))
    )
    assert plain == (1, 0.0)
    assert other[0] == 1
    assert other[1] == pytest.approx(counts.numel() ** 0.5)
    assert calibrate.unlearned(*asked, ("cid", None, None)) == [plain]
