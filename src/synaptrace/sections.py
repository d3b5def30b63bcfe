"""The sections of a run's settings: their keys, types, bounds, defaults and meanings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Width = Annotated[int, Field(ge=1, le=1_000_000)]
"""Neurons, channels or pixels of a layer."""


class Section(BaseModel):
    """A section: no unknown keys, no infinite numbers."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Mlp(Section):
    """A dense network (`synaptrace.mlp`)."""

    kind: Literal["mlp", "conv", "vgg"] = Field("mlp", description="dense, convolutional, VGG")
    hidden: list[Width] = Field([200], description="neurons of each hidden layer", min_length=1)
    recurrent: bool = Field(False, description="hidden layers see their own last spikes")
    readout_decay: float = Field(1.0, description="α of the readout, 1 sums for ever", ge=0, le=1)
    gain: float = Field(1.0, description="factor on initial weights after layer 1", gt=0)
    standardise: bool = Field(False, description="use standardised weights")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the products")


class Conv(Section):
    """A convolutional network (`synaptrace.conv`)."""

    kind: Literal["conv"] = "conv"
    channels: list[tuple[Width, tuple[str, Width]]] = Field(
        description="each layer's channels and pool, as [[32, [max, 2]], [64, [aavg, 2]]]",
        min_length=1,
    )
    readout_decay: float = Field(1.0, ge=0, le=1)
    gain: float = Field(1.0, gt=0)
    standardise: bool = False
    precision: Literal["float32", "bfloat16"] = "float32"


class Vgg(Section):
    """A published VGG (`synaptrace.vgg`)."""

    kind: Literal["vgg"] = "vgg"
    depth: Literal[6, 9, 12] = Field(9, description="its layers")
    readout_decay: float = Field(1.0, ge=0, le=1)
    standardise: bool = True
    precision: Literal["float32", "bfloat16"] = "float32"


MODELS: dict[str, type[Section]] = {"mlp": Mlp, "conv": Conv, "vgg": Vgg}


class Neuron(Section):
    """The leaky integrate-and-fire neuron."""

    threshold: float = Field(1.0, description="θ")
    decay: float | list[float] = Field(0.9, description="β of the membrane; a list: each layer's")
    trace_decay: float | list[float] = Field(0.9, description="λ of the trace; a list likewise")
    reset: Literal["soft", "hard"] = Field("soft", description="subtract θ, or to zero")
    surrogate: Literal["atan", "fast_sigmoid", "triangle"] = Field("atan", description="σ'")
    scale: float = Field(1.0, description="a, the surrogate's scale", gt=0)


class Train(Section):
    """The training loop (`synaptrace.fit`)."""

    epochs: int = Field(30, description="passes over the training samples", ge=1)
    lr: float = Field(3e-3, description="Adam's learning rate in the first epoch", gt=0)
    lr_final: float | None = Field(None, description="in the last (cosine); default lr / 4", ge=0)
    lr_readout: float | None = Field(
        None, description="the readout's own first rate, on the same schedule; default lr", gt=0
    )
    update: Literal["sequence", "step"] | int = Field(
        "sequence", description="optimizer steps: sequence, step, or every so many steps"
    )
    ema: float | None = Field(None, description="evaluate averaged weights; the decay", ge=0, lt=1)
    seed: int = Field(0, description="of weights, order, augmentation", ge=0)
    device: str = Field("cpu", description="cpu, cuda, …")
    threads: int | None = Field(
        None, description="processor cores; default: PyTorch's", ge=1, le=1024
    )
    paper_protocol: bool = Field(False, description="also report the best test epoch, as papers do")
    tensorboard: bool = Field(False, description="write TensorBoard curves too")


class Data(Section):
    """What every data set has; each adds options of its own (`options_of`)."""

    name: str = Field("digits", description="see `synaptrace data list`")
    path: str | None = Field(None, description="where the files lie")
    batch_size: int | None = Field(None, description="samples a batch", ge=1)


class RuleName(Section):
    """What every rule has; each adds options of its own (`options_of`)."""

    name: str = Field("tp", description="the learning rule")


LATER = {"Train": ("lr_readout",), "tp": ("eligibility", "temperature", "margin")}
"""Options that version 0.1.0 had not, by section or rule. At their defaults they are left out of
what a run keeps, so that its settings have the same hash as before."""

SECTIONS: dict[str, type[Section]] = {
    "data": Data, "model": Mlp, "neuron": Neuron, "rule": RuleName, "train": Train,
}  # fmt: skip
