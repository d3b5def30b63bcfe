"""Generators derived from one seed: a stream for each purpose, none shared, none global."""

import hashlib

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose: the same for the same arguments, unrelated otherwise."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *purpose: str | int, device: str = "cpu") -> torch.Generator:
    """A fresh generator for one purpose, for example ``generator(0, "order", epoch)``."""
    return torch.Generator(device).manual_seed(derive(seed, *purpose))
