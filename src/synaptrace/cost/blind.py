"""A meter on PyTorch's meta device: bytes of tensors whose numbers nobody computes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from synaptrace.cost.meter import Meter
from synaptrace.memory import id_of

aten, LAST = torch.ops.aten, torch.channels_last


class Sketch(NamedTuple):
    """All that is known of a tensor on the meta device."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    def make(self) -> Tensor:
        """An empty tensor of this kind."""
        return torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device="meta")


class Plain(NamedTuple):
    """An argument that is no tensor: 1, 1.0 and True are alike but for their kind."""

    kind: type
    value: Any


class Blind(Meter):  # type: ignore[no-untyped-call]
    """A meter on the meta device, where labels have no values: `torch.unique` finds ``present``.
    Convolutions with weights whose channels come last give maps of which these do, as on the CPU.

    What an operation makes is asked of PyTorch once for the same shapes, which is what takes time.
    """

    present = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is aten._unique2.default:
            labels: Tensor = args[0]
            present = labels.new_empty(self.present)
            return self._new((present, torch.empty_like(labels), labels.new_empty(0)))
        if func is aten.convolution.default and args[1].is_contiguous(memory_format=LAST):
            return self._new(func(*args, **(kwargs or {})).contiguous(memory_format=LAST))
        kind = effect(func)
        if kind == "in place" and args[0].is_meta:
            return args[0]
        if kind == "new":
            try:
                made = makes(func, sketched(args), sketched(kwargs or {}))
                if made is not None:
                    return self._new(drawn(made))
            except TypeError:  # a tensor that isn't on the meta device
                pass
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _new(self, made: Any) -> Any:
        for tensor in (made,) if isinstance(made, Tensor) else made:
            if tensor is not None:
                self._count(tensor, set())
        return made


@cache
def effect(func: Any) -> str:
    """What an operation does: "new" tensors only, its first argument changed "in place", or
    "other"."""
    schema = func._schema
    if not schema.is_mutable:
        views = any(result.alias_info is not None for result in schema.returns)
        tensors = all(str(result.type) == "Tensor" for result in schema.returns)
        return "new" if tensors and not views and schema.returns else "other"
    plain = schema.name.endswith("_") and torch.Tag.inplace_view not in func.tags
    return "in place" if plain and len(schema.returns) == 1 else "other"


def sketched(value: Any) -> Any:
    """Arguments with sketches in place of tensors, and the kinds of numbers beside them, so that
    they may be a key. Raises TypeError for a tensor elsewhere."""
    if isinstance(value, Tensor):
        if not value.is_meta:
            raise TypeError("not on the meta device")
        return Sketch(tuple(value.shape), value.stride(), value.dtype)
    if isinstance(value, dict):
        return tuple((key, sketched(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(sketched(each) for each in value)
    return Plain(type(value), value)


def drawn(value: Any) -> Any:
    """The arguments again, with tensors without numbers."""
    if isinstance(value, Sketch):
        return value.make()
    if isinstance(value, Plain):
        return value.value
    return [drawn(each) for each in value]


@lru_cache(maxsize=2**15)
def makes(func: Any, args: Any, kwargs: Any) -> Any:
    """What an operation makes from what is `sketched`, sketched; None if that is an argument's own
    memory, as that of `_unsafe_view` is, of which its schema says nothing."""
    given, named = drawn(args), {key: drawn(value) for key, value in kwargs}
    made = func(*given, **named)
    return None if storages(made) & storages((given, named)) else sketched(made)


def storages(value: Any) -> set[int]:
    """Those of all tensors in ``value``."""
    return {id_of(leaf) for leaf in tree_leaves(value) if isinstance(leaf, Tensor)}
