"""The float64 golden cases as networks and rules."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import synaptrace as st
from synaptrace.surrogate import SURROGATES

FOLDER = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The settings, and the arrays as tensors."""
    settings = json.loads((FOLDER / f"{name}.json").read_text())
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as arrays:
        return settings, {key: torch.from_numpy(arrays[key]) for key in arrays}


def build(
    settings: dict[str, Any], arrays: dict[str, Tensor], dtype: torch.dtype = torch.float64
) -> tuple[st.Network, st.TracesPropagation]:
    """The case's network and rule with its initial weights."""
    neuron = st.LIF(
        threshold=settings["theta"],
        decay=settings["beta"],
        trace_decay=settings["lam"],
        reset=settings["reset"],
        surrogate=SURROGATES[settings.get("surrogate", "atan")](settings["scale"]),
    )
    common = {"neuron": neuron, "readout_decay": settings["alpha"]}
    if "conv" in settings:
        net = st.conv(
            settings["conv"],
            in_shape=tuple(settings["in_shape"]),
            classes=settings["classes"],
            standardise=settings["ws"],
            **common,
        )
    else:
        net = st.mlp(
            settings["inputs"],
            settings["hidden"],
            settings["classes"],
            recurrent=settings["recurrent"],
            **common,
        )
    net = net.to(dtype)
    rule = st.TracesPropagation(
        net,
        train_label=settings.get("train_label", False),
        label_threshold=settings.get("label_theta"),
        eligibility=settings.get("eligibility", False),
        temperature=settings.get("temperature", 1.0),
    )
    values = {k.removeprefix("init/"): v for k, v in arrays.items() if k.startswith("init/")}
    owned = {k: values.pop(k) for k in list(values) if k.startswith("label.")}
    net.load_state_dict(values)
    rule.load_state_dict(owned)
    return net, rule


def named(net: st.Network, rule: st.TracesPropagation) -> dict[str, torch.nn.Parameter]:
    """Everything that may have a gradient, by its golden name."""
    return dict([*net.named_parameters(), *rule.named_parameters()])
