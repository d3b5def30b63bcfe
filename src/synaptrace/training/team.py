"""The processes that train one network together, on torch.distributed.

    torchrun --nproc-per-node 4 -m synaptrace train …

Each holds the whole network and learns from its share of every batch (`parts`); the sums of their
gradients are the batch's, so that all step alike. What is added up goes through `Team.sum`. The
first process, of rank 0, alone writes and speaks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from synaptrace.data.inputs import reason
from synaptrace.errors import UserError, short

JOIN = timedelta(seconds=60)
"""Time for all processes to find one another."""
WAIT = timedelta(hours=2)
"""Time that one waits for the others, which may be preparing data or drawing pictures."""
PLACE = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun tells each process."""
TOLD = "synaptrace/told"

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass
class Team:
    """This process among those that train together. Of one process, all of it costs nothing."""

    rank: int = 0
    size: int = 1
    sums: int = 0
    """Calls of `sum` so far."""
    summed: int = 0
    """Bytes of what they added up, for one process."""

    def sum(self, numbers: Tensor) -> Tensor:
        """``numbers`` of all processes added up, the same bits in each; in place.

        Raises:
            UserError: another process has ended, or is out of reach.
        """
        if self.size > 1:
            self.sums += 1
            self.summed += numbers.nbytes
            with reached(self):
                dist.all_reduce(numbers)
        return numbers

    def tell(self, make: Callable[[], Any]) -> Any:
        """What the first process makes, JSON-able, in all of them."""
        if self.size == 1:
            return make()
        text = json.dumps(make()).encode() if not self.rank else b""
        return json.loads(self._broadcast(text))

    def tensors(self, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors that the first process makes, in all of them, on the processor."""
        given = {} if self.rank else {k: v.detach().cpu().contiguous() for k, v in make().items()}
        if self.size == 1:
            return given
        found: dict[str, Tensor] = from_bytes(self._broadcast(to_bytes(given)))
        return found

    def in_turn(self, make: Callable[[], Made]) -> Made:
        """What each process makes, the first before the others: it prepares what they then find.
        None goes on before all have it."""
        if not self.rank:
            made = make()
        self.tell(lambda: None)
        if self.rank:
            made = make()
        self.sum(torch.zeros(1))
        return made

    def mine(self, items: Iterable[Item]) -> Iterator[Item]:
        """This process's share of ``items``, one in so many."""
        return islice(items, self.rank, None, self.size)

    def share(self, count: int) -> slice:
        """This process's rows of ``count``: as many as the others', up to one."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add_gradients(self, weights: Sequence[Tensor]) -> None:
        """Replace the gradients of ``weights`` by their sums over all processes, in one go.

        One that no process has stays none; one that this process lacks counts as zeros.
        """
        if self.size == 1:
            return
        like, has = weights[0], [weight.grad is not None for weight in weights]
        parts = [
            torch.zeros_like(w) if w.grad is None else w.grad.detach().to_dense() for w in weights
        ]
        flags = torch.tensor(has, dtype=like.dtype, device=like.device)
        flat = self.sum(torch.cat([*(part.flatten() for part in parts), flags]))
        *sums, held = torch.split(flat, [*(part.numel() for part in parts), len(flags)])
        for weight, own, total, any_has in zip(weights, has, sums, held.unbind(), strict=True):
            if own or bool(any_has):  # the second is read, and waited for, only where need be
                if weight.grad is None:
                    weight.grad = torch.empty_like(weight)
                weight.grad.copy_(total.view_as(weight))  # laid out as Adam expects it, in place

    def adding(self, weights: Sequence[Tensor]) -> Callable[..., None]:
        """`add_gradients` as a hook that an optimizer calls before its step."""
        return lambda *_: self.add_gradients(weights)

    def agree(self, parts: Mapping[str, Any]) -> None:
        """Compare what must be the same in all processes, by hashes.

        Args:
            parts: JSON-able values or tensors by what an error calls them.

        Raises:
            UserError: naming the first that differs.
        """
        if self.size == 1:
            return
        own = [int.from_bytes(digest(value)[:7], "little") for value in parts.values()]
        given = self.tell(lambda: own)
        same = torch.tensor([a == b for a, b in zip(own, given, strict=True)], dtype=torch.int64)
        for name, count in zip(parts, self.sum(same).tolist(), strict=True):
            if count < self.size:
                raise UserError(
                    f"{name}: not the same in all {self.size} processes; start each with the same "
                    "settings, data and version"
                )

    def _broadcast(self, content: bytes) -> bytes:
        with reached(self):
            size = torch.tensor([len(content)])
            dist.broadcast(size, 0)
            whole = torch.empty(int(size), dtype=torch.uint8)
            if not self.rank:
                whole.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
            dist.broadcast(whole, 0)
        return whole.numpy().tobytes()


def digest(value: Any) -> bytes:
    """sha256 of a tensor's shape, type and numbers, or of JSON."""
    if not isinstance(value, Tensor):
        return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    found = hashlib.sha256(f"{value.dtype} {tuple(value.shape)}".encode())
    found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.digest()


class Lost(UserError):
    """Another process has ended, or is out of reach."""


@contextmanager
def reached(team: Team) -> Iterator[None]:
    """Raises Lost where the others can't be reached."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(
            f"process {team.rank + 1} of {team.size}: another one has ended or can't be reached "
            f"({reason(error)[:200]}); `synaptrace resume RUN` goes on, with any number of them"
        ) from error


def present() -> Team:
    """The team of the process group that this process has joined; alone where it has none."""
    if dist.is_available() and dist.is_initialized():
        return Team(dist.get_rank(), dist.get_world_size())
    return Team()


@contextmanager
def joined(patience: timedelta = JOIN) -> Iterator[Team]:
    """Join the other processes that torchrun started, if it did, while the context lasts.

    Of errors that end them all one process tells the first: `UserError.told` is set in the others.

    Args:
        patience: how long the processes may take to find one another.

    Raises:
        UserError: they don't.
    """
    if not asked():
        yield Team()
        return
    rank, size = place()
    store, backend = meet(rank, size, patience), "gloo"
    if torch.cuda.is_available():
        backend = "cpu:gloo,cuda:nccl"
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())
    with reached(Team(rank, size)):
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=WAIT)
    try:
        yield present()
    except UserError as error:
        try:
            error.told = store.add(TOLD, 1) > 1
        except RuntimeError:  # the process that kept the store has ended
            error.told = False
        raise
    finally:
        dist.destroy_process_group()


def asked() -> bool:
    """Whether this is one of several processes that torchrun, or the like, has started."""
    return bool(os.environ.get("MASTER_ADDR")) and (os.environ.get("WORLD_SIZE") or "1") != "1"


def place() -> tuple[int, int]:
    """The rank of this process and how many there are, as it was told.

    Raises:
        UserError: it was told less than that, or what can't be.
    """
    missing = [name for name in PLACE if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"{missing[0]}: isn't set, where WORLD_SIZE asks for several processes; start them by "
            "torchrun, or unset WORLD_SIZE"
        )
    try:
        rank, size = (int(os.environ[name]) for name in PLACE[:2])
    except ValueError:
        rank, size = 0, 0
    if not 0 <= rank < size:
        told = ", ".join(f"{name} {short(os.environ[name])}" for name in PLACE[:2])
        raise UserError(f"{told}: need a rank from 0 on, below the number of processes")
    return rank, size


def meet(rank: int, size: int, patience: timedelta) -> Any:
    """Where the processes find one another, all of them there."""
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        store, _, _ = next(rendezvous("env://", rank, size, timeout=patience))
        store.set(f"synaptrace/{rank}", "here")
        store.wait([f"synaptrace/{other}" for other in range(size)], patience)
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"MASTER_ADDR, MASTER_PORT: {size} processes did not meet at {where} within "
            f"{patience.total_seconds():g} s ({reason(error)[:200]}); start as many, "
            "where that can be reached"
        ) from error
    return store
