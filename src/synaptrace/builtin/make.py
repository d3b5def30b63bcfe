"""`python -m synaptrace.builtin.make RUN --data DIR [--name keywords]`: a run becomes a built-in.

    synaptrace train --preset speechcommands --data.path DIR --model.hidden [200] \\
        --data.gain 20 --data.channel 4 --train.threads 1
    python -m synaptrace.builtin.make runs/20260131-120000-speechcommands --data DIR

takes the picked weights and what fine-tuning needs, measures them on the test of DIR, lists the
recordings of DIR that were learned from, and writes src/synaptrace/builtin/<name> in place of what
is there. The settings lose their path, and name the words, so that any copy of the data will do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synaptrace import builtin
from synaptrace.data.dataset import ArrayDataset
from synaptrace.data.sets.outputs import SILENCE, UNKNOWN
from synaptrace.errors import UserError
from synaptrace.files import write_atomic
from synaptrace.keyword import calibrated, recordings
from synaptrace.keyword.calibrate import CONFIDENCE
from synaptrace.keyword.fewshot import name as file_of
from synaptrace.training import checkpoint, job
from synaptrace.training import run as runs
from synaptrace.training.evaluate import evaluate

MOST = 500_000
"""Bytes that the weights may have."""
KEPT = ("rehearsal.safetensors",)
"""Files of a run that are taken along where they are there."""
TEXT = """\
The weights in checkpoints/, and the features and counts in the other .safetensors files, were
learned or computed from recordings of Google Speech Commands v0.02, by P. Warden ("Speech Commands:
a dataset for limited-vocabulary speech recognition", arXiv 1804.03209, 2018), which are licensed
under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/). clips.txt lists the recordings that
were learned from. They are published here under Apache-2.0 as the rest of synaptrace, with this
attribution.
"""


def make(run: Path, data: Path, name: str) -> Path:
    """Make the built-in ``name`` of ``run``; returns its directory.

    Raises:
        UserError: no run on Speech Commands that streams, weights of more than `MOST` bytes.
    """
    trained = job.trained(run, str(data))
    if trained.config.data["name"] != "speechcommands" or trained.features is None:
        raise UserError(f"{run}: was not trained on speechcommands, which the attribution names")
    dataset = trained.load_data()
    assert isinstance(dataset, ArrayDataset)
    calibration = calibrated.read(trained.run, trained.net) or calibrated.make(trained)
    streams = calibrated.evaluate(trained, calibration, "test")
    score = evaluate(trained.net, dataset.batches("test"))
    summary = runs.read_summary(trained.run)
    figures = {
        "data": "Speech Commands", "classes": list(trained.classes),
        "test_accuracy": score.accuracy, "test_samples": score.samples,
        "test_recall": dict(zip(trained.classes, score.recall, strict=True)),
        "confidence": CONFIDENCE, "false_rejections": streams.rejected_at(CONFIDENCE),
        "false_alarms": streams.alarms_at(CONFIDENCE), "hours": streams.hours,
        "training_clips": len(dataset.index["train"]),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=builtin.ROOT, prefix=".") as temporary:
        place = Path(temporary) / name
        weights(trained, place)
        for file in (calibrated.FILE, *KEPT):
            if (trained.run / file).is_file():
                shutil.copyfile(trained.run / file, place / file)
        if summary is not None:
            runs.write_summary(place, summary)
        write_atomic(place / builtin.CLIPS, clips(dataset, data))
        write_atomic(place / builtin.ATTRIBUTION, TEXT)
        write_atomic(place / builtin.FIGURES, json.dumps(figures, indent=1) + "\n")
        target = builtin.ROOT / name
        if target.exists():
            shutil.rmtree(target)
        place.rename(target)
    return target


def weights(trained: job.Trained, place: Path) -> None:
    """The picked weights and the rule's in one checkpoint, and the settings, in ``place``."""
    tensors, meta = checkpoint.load(runs.find(trained.run))
    config = settings(meta["config"], trained.classes)
    parts = {"net": checkpoint.evaluated(tensors), "rule": checkpoint.part(tensors, "rule")}
    about = {key: value for key, value in meta.items() if key != "format"} | {"config": config}
    checkpoint.save(place / runs.BEST, parts, about)
    runs.write_config(place, config)
    size = (place / runs.BEST).stat().st_size
    if size > MOST:
        raise UserError(f"{trained.run}: its weights have {size} bytes, more than {MOST}")


def settings(config: dict[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """The settings without a path, and with the words that the data had."""
    data = {**config["data"], "path": None}
    words = [each for each in classes if each not in (UNKNOWN, SILENCE)]
    data["words"] = data.get("words") or ",".join(words)
    for key in (UNKNOWN, SILENCE):
        if key not in classes:
            data[key] = 0.0
    return {**config, "data": data}


def clips(dataset: ArrayDataset, root: Path) -> str:
    """A line for each recording that was learned from: the start of its sha256, and its name."""
    files = recordings.files(root)
    lines = {
        said: hashlib.sha256(files[said].read_bytes()).hexdigest()[:16]
        for row in dataset.index["train"].tolist()
        if (said := file_of(dataset, row).partition("#")[0])
    }
    return "".join(f"{digest} {said}\n" for said, digest in sorted(lines.items()))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("--data", metavar="DIR", type=Path, required=True)
    parser.add_argument("--name", default="keywords")
    options = parser.parse_args()
    try:
        print(make(options.run, options.data, options.name))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(builtin.about())
    return 0


if __name__ == "__main__":
    sys.exit(main())
