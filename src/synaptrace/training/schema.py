"""What the JSON files of a run hold; a file that holds anything else is named in one line.

Keys that a later version adds are let through, and what an earlier one didn't write has a default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synaptrace.errors import UserError
from synaptrace.files import parse_json, read_json, read_text

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]
Settings = dict[str, Any]


class Stored(BaseModel):
    """What a file holds; keys of other versions are left alone."""

    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


class Line(Stored):
    """A line of metrics.jsonl. Fine-tuning writes the first three alone."""

    epoch: Annotated[int, Field(ge=1)]
    train_accuracy: Share
    lr: Amount
    validation_accuracy: Share | None = None
    losses: dict[str, float] = {}
    rates: dict[str, Amount] = {}
    seconds: Amount = 0.0
    peak_memory_bytes: Count = 0
    test_accuracy_paper_protocol: Share | None = None
    run_id: str | None = None


FILLED = {
    key: Line.model_fields[key].default
    for key in ("validation_accuracy", "losses", "rates", "seconds", "peak_memory_bytes")
}
"""What a line has where fine-tuning left it out."""


class Summary(Stored):
    """summary.json of one training."""

    test_accuracy: Share | None
    test_accuracy_last: Share | None
    validation_accuracy: Share | None
    test_split: str | None
    spikes_per_inference: Amount | None
    picked_epoch: Count
    epochs: Count
    seconds: Amount
    peak_memory_bytes: Count
    seed: int
    test_accuracy_best_paper_protocol: Share | None = None
    samples: dict[str, Count] = {}
    threads: Annotated[int, Field(ge=1)] | None = None
    run_id: str | None = None
    rehearsal_bytes: Count = 0


class Spread(Stored):
    """An outcome over several seeds."""

    mean: float
    sd: float | None
    values: list[float]


class Series(Stored):
    """summary.json above several seeds."""

    seeds: list[int]
    seconds: Spread
    test_accuracy: Spread | None
    test_accuracy_last: Spread | None
    validation_accuracy: Spread | None
    test_accuracy_best_paper_protocol: Spread | None = None
    samples: dict[str, Count] = {}


class Tuned(Stored):
    """summary.json of one fine-tuning."""

    before: dict[str, Share | None]
    after: dict[str, Share | None]
    samples: Count
    sizes: dict[str, Count]
    batches: Count
    seconds: Amount
    state_bytes: Count
    auxiliary_bytes: Count
    optimizer_bytes: Count
    stored_bytes: Count
    operations: Count | None


class Progress(Stored):
    """Where a checkpoint says that training stands (`state.Progress`)."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    epoch: Count = 0
    batch: Count = 0
    updates: Count = 0
    samples: Count = 0
    totals: list[float] = []
    picked_epoch: Count | None = None
    validation_accuracy: Share | None = None
    seconds: Amount = 0.0
    peak_memory_bytes: Count = 0


class Data(Stored):
    """What a checkpoint says of its data (`data.dataset.Meta`)."""

    name: str
    classes: list[str]
    split_hash: str
    features: Settings | None = None


class Run(Stored):
    """The settings of a run, as config.yaml has them."""

    name: str
    data: Settings
    model: Settings
    neuron: Settings
    rule: Settings
    train: Settings
    seeds: Annotated[int, Field(ge=1)] = 1


class Checkpoint(Stored):
    """The metadata of a training's checkpoint."""

    network: Settings
    rule: Settings
    data: Data
    train: Settings
    progress: Progress
    config: Settings | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    run_id: str | None = None


class Comparison(Stored):
    """comparison.json."""

    rates: dict[str, list[float]]
    seeds: int
    settings: dict[str, Run]
    threads: Annotated[int, Field(ge=1)] | None = None


class Sweep(Stored):
    """sweep.json."""

    search: dict[str, str]
    trials: Annotated[int, Field(ge=1)]
    seeds: Annotated[int, Field(ge=1)]
    final: Annotated[int, Field(ge=2)]
    prune: Literal["median", "hyperband", "none"]
    storage: str | None
    settings: Run
    split_hash: str
    threads: Annotated[int, Field(ge=1)]


class Won(Stored):
    """What closed.json and report.json of a sweep share: how many trials, and who won."""

    winner: Count
    winner_is_preset: bool
    validation_accuracy: Share
    validation_accuracy_preset: Share | None
    params: dict[str, str]
    looked_at: dict[str, Count]


class Closed(Won):
    """closed.json of a sweep."""

    settings: Run


class Tested(Stored):
    """Test accuracy over seeds."""

    mean: Share | None
    sd: Amount | None
    values: list[Share]
    diverged: Count


class Outcome(Won):
    """report.json of a sweep."""

    seeds: list[Count]
    test: dict[Literal["winner", "preset"], Tested]
    verdict: str


class Locality(Stored):
    """What a rule needs that isn't local (`rules.locality.Locality`)."""

    space: bool
    time: bool
    auxiliary: str
    update_locked: bool
    weight_transport: str
    batch: bool


class Costs(Stored):
    """costs.json of one training of a comparison."""

    state_bytes: Count
    auxiliary_bytes: Count
    batch: Count
    steps: Count
    locality: Locality


class Study(Stored):
    """finetune.json of a study of speakers."""

    settings: Run
    word: str | None


class Tunings(Stored):
    """tunings.json of a study: where its fine-tunings lie."""

    tunings: list[str]


def check(kind: type[Stored], found: Any, where: str | Path) -> dict[str, Any]:
    """``found``, where it is what ``kind`` says. Raises UserError naming ``where`` and the key."""
    try:
        kind.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "its content"
        raise UserError(
            f"{where}: is damaged, or another kind of file ({key}: {first['msg']})"
        ) from None
    plain: dict[str, Any] = found
    return plain


def read(kind: type[Stored], file: Path) -> dict[str, Any]:
    """The content of a JSON file of a run. Raises UserError naming it where it isn't ``kind``."""
    return check(kind, read_json(file), file)


def read_summary(file: Path) -> dict[str, Any]:
    """A summary.json, of whichever kind. Raises UserError naming it where it is none."""
    found = read_json(file)
    keys = found if isinstance(found, dict) else {}
    return check(Series if "seeds" in keys else Tuned if "before" in keys else Summary, found, file)


def read_lines(file: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, epoch after epoch, what a line leaves out filled in.

    Raises:
        UserError: naming the file and the line that is damaged, or out of its order.
    """
    lines: list[dict[str, Any]] = []
    for number, text in enumerate(read_text(file).splitlines(), 1):
        where = f"{file}: line {number}"
        line = {**FILLED, **check(Line, parse_json(text, where), where)}
        first = lines[0] if lines else line
        if line["epoch"] != number:
            raise UserError(f"{where}: is of epoch {line['epoch']}, not {number}")
        if any(line[key].keys() != first[key].keys() for key in ("losses", "rates")):
            raise UserError(f"{where}: has other layers than the lines before it")
        lines.append(line)
    return lines
