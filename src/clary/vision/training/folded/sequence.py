"""Chains that follow each other, some pictures at a time.

Between frozen chains nothing is kept for the way back. So where a map between is larger than the processor's cache (96
channels of 112 x 112 of 33 pictures are 79 MB), few pictures go through all of them before the next do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from clary.vision.training.folded.chains import Chain

__all__ = ["forward_in_turn", "sequences"]

# Bytes of the largest map between, of all pictures and of some. Stem to stride 4 of Lite0 on two cores of an EPYC with
# 32 MB of cache, by pieces of 2.4, 5, 10 and 19 MB and whole: 20.8, 17.4, 16.8, 20.0 and 21.1 ms; 8 pictures at 320 by
# 5, 10 and 20 MB and whole: 9.1, 8.2, 9.6 and 10.1. Below 32 MB nothing is gained.
WHOLE, PIECE = 32 << 20, 10 << 20


def sequences(chains: Iterable[Chain]) -> list[list[Chain]]:
    """The chains, in the order of a pass, joined where one takes all that the other gives and nobody asks for it."""
    found: dict[Chain, list[Chain]] = {}  # by their last
    for chain in chains:
        known = found.pop(chain.before, None) if chain.before and not chain.severed else None
        found[chain] = [*(known or ()), chain]
    return list(found.values())


def forward_in_turn(chains: Sequence[Chain], features: Tensor, dtype: torch.dtype) -> Tensor:
    """What the last gives of what those before give of ``features`` (N, C, H, W)."""
    learns = torch.is_grad_enabled() and (features.requires_grad or any(chain.trained for chain in chains))
    largest = 0 if learns else _largest(chains, features) * dtype.itemsize
    if largest * len(features) <= WHOLE:
        return _in_turn(chains, features, dtype)
    few = max(1, PIECE // largest)
    return torch.cat([_in_turn(chains, piece, dtype) for piece in features.split(few)])


def _in_turn(chains: Sequence[Chain], features: Tensor, dtype: torch.dtype) -> Tensor:
    for chain in chains:
        features = chain.forward(features, dtype)
    return features


def _largest(chains: Sequence[Chain], features: Tensor) -> int:
    """Numbers in the largest map of a picture between two of them."""
    size: Sequence[int] = features.shape[1:]
    largest = 0
    for chain in chains[:-1]:
        size = chain.size(size)
        largest = max(largest, math.prod(size))
    return largest
