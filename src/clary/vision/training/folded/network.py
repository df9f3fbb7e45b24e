"""A network whose folded chains are called as one, for the time of a pass.

Between passes it is the network it was: parameters, names, hooks and copies of it know nothing of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from clary.vision.training.folded.chains import Chain, find_chains
from clary.vision.training.folded.enlarging import FewChannelsFirst
from clary.vision.training.folded.operators import fault
from clary.vision.training.folded.sequence import forward_in_turn, sequences
from clary.wording import plural

__all__ = ["KERNELS", "FoldedNetwork"]

Say = Callable[[str], object]

KERNELS = 2  # to be raised whenever passes give other bits than before: runs record it

SIDE = 64  # pixels of the picture by which chains are found; what follows what does not depend on it
TOLERANCE = 1e-3  # of the largest output, in fp32; measured: below 1e-5


class FoldedNetwork:
    """The folded way through ``network``."""

    def __init__(self, network: nn.Module, chains: Sequence[Chain]) -> None:
        self.network = network
        self.chains = tuple(chains)
        self._said = False
        self._enlarges = True

    @classmethod
    def of(cls, network: nn.Module, say: Say) -> FoldedNetwork | None:
        """The network folded where its norms are frozen in training; None where none is, or where folding changes
        what it gives. ``say`` takes a line for the log. The network is left in training mode."""
        network.train()
        # First: of a network trained in all layers no pass is made.
        if all(module.training for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
            return None
        device = next(network.parameters()).device
        images = torch.randint(
            0, 256, (1, SIDE, SIDE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        ).to(device)
        try:
            folded = cls(network, find_chains(network, images))
            network.eval()
            difference = folded._difference(images)
        # A network that takes other pictures only, whatever it raises of these; one that cannot be trained will say so.
        except Exception as error:  # noqa: BLE001
            say(f"norms are not folded: {' '.join(str(error).split()) or type(error).__name__}")
            return None
        finally:
            network.train()
        if not any(chain.frozen for chain in folded.chains):
            return None
        # Not the other way round: NaN is a difference.
        if not difference <= TOLERANCE:
            say(f"norms are not folded: outputs would be off by {difference:.2g}")
            return None
        if why := fault():
            say(f"folded convolutions are computed by public operators: {why}")
        return folded

    @contextmanager
    def applied(self, say: Say = str, dtype: torch.dtype = torch.bfloat16) -> Iterator[FewChannelsFirst]:
        """Passes within are folded. Chains whose norms are not frozen now, or that somebody watches, go the plain
        way; the latter are said once."""
        frozen = [chain for chain in self.chains if chain.frozen]
        called = [chain for chain in frozen if not chain.watched]
        if len(called) < len(frozen) and not self._said:
            self._say_watched(say, [chain for chain in frozen if chain.watched])
        patched: list[nn.Module] = []
        enlarging = FewChannelsFirst()
        try:
            for chains in sequences(called):
                modules = [module for chain in chains for module in chain.modules]
                patched += modules
                first, *others = (vars(module) for module in modules)
                # Into the object's own names, past Module's setter: it is no parameter and no part.
                first["forward"] = partial(forward_in_turn, chains, dtype=dtype)
                for other in others:
                    other["forward"] = _nothing
            with enlarging if self._enlarges else nullcontext():
                yield enlarging
        finally:
            for module in patched:
                vars(module).pop("forward", None)

    def forget(self) -> None:
        """Keep nothing of passes before: hooks may have written to the network past autograd (``.data``)."""
        for chain in self.chains:
            chain.forget()

    def _say_watched(self, say: Say, watched: Sequence[Chain]) -> None:
        self._said = True
        said = f"{plural(len(watched), 'convolution')} of {len(self.chains)} {'is' if len(watched) == 1 else 'are'}"
        say(f"{said} not folded: a hook is within (first `{watched[0].name}`)")

    @torch.no_grad()
    def _difference(self, images: Tensor) -> float:
        """How far outputs in fp32 are from the plain ones, as a share of the largest."""
        expected = _flat(self.network(images))
        with self.applied(dtype=torch.float32) as enlarging:
            found = _flat(self.network(images))
        # Else left out: it costs a microsecond at each call of PyTorch.
        self._enlarges = enlarging.met
        return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def _nothing(features: Tensor) -> Tensor:
    """The forward of what the first convolution has done."""
    return features


def _flat(outputs: Any) -> Tensor:
    if isinstance(outputs, Tensor):
        return outputs.float().flatten()
    return torch.cat([_flat(one) for one in outputs])
