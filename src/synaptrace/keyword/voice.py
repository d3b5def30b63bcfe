"""Old words as if they had been said by the one who teaches a new word, as far as filters go.

A voice, its microphone and its room colour all that is said, and where a new word is all that is
heard of a user, that colour seems to belong to the word. So some of what is rehearsed takes it
over: its mean spectrum, as far as `WAVES` cosines over the bands describe it, becomes that of an
utterance which is learned. Loudness stays, and so do the sounds, which are finer.

Of that kind, with the spectra of a batch's clips mixed: K. Zhou and others, "Domain generalization
with MixStyle", ICLR 2021, arXiv 2104.02008.
"""

from __future__ import annotations

import torch
from torch import Tensor

WAVES = 4
LEAST = 1e-9
"""Power that is added before the logarithm, 90 dB below a full-scale sine."""


def colour(power: Tensor) -> Tensor:
    """The smooth part (B, bands) of the logarithm of clips' mean power (T, B, bands).

    Its mean over the bands is 0, whatever the loudness.
    """
    bands = power.shape[-1]
    place = (torch.arange(bands, dtype=power.dtype) + 0.5) / bands
    waves = torch.cos(torch.pi * torch.arange(1, WAVES + 1)[:, None] * place)
    waves = waves / waves.norm(dim=1, keepdim=True)
    found: Tensor = (power.mean(0) + LEAST).log() @ waves.T @ waves
    return found


def lent(power: Tensor, learned: int, share: float, draws: torch.Generator) -> Tensor:
    """Power (T, B, bands) with a ``share`` of what is rehearsed in the colour of what is learned.

    Args:
        power: of the ``learned`` utterances, and after them of those that are rehearsed, each of
            which takes over the colour of one of the former, or stays as it is.
    """
    own = colour(power)
    old = len(own) - learned
    theirs = own[torch.randint(learned, (old,), generator=draws)]
    takes = torch.rand(old, generator=draws) < share
    change = torch.where(takes[:, None], theirs - own[learned:], 0.0)
    return torch.cat([power[:, :learned], power[:, learned:] * change.exp()], 1)
