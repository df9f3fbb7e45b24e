"""Finding convolutions, the norms behind them and the activations behind those, by watching one pass."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from timm.layers.padding import pad_same_arg
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clary.vision.training.folded.convolution import Parts, fold, folded_convolution
from clary.vision.training.folded.operators import Activation, Geometry, convolve
from clary.vision.training.folded.padding import NO_MARGINS, Margins, pad, widen

__all__ = ["Chain", "find_chains"]

# Exactly these: a subclass may do something else with the same parameters.
CONVOLUTIONS, NORMS = (nn.Conv2d, Conv2dSame), (nn.BatchNorm2d, BatchNormAct2d)
ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.ReLU6: "relu6"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
EVERYWHERE = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")


@dataclass(eq=False)
class Chain:
    """A convolution whose output goes into ``norm`` alone, and the activation that alone takes the norm's; ``name`` is
    the convolution's in its network. Without an ``activation`` the norm has its own, or none that can be folded.
    ``cut`` are parts of the network that begin or end within it.

    ``before`` is the chain whose output goes into this one alone, ``seam`` what begins or ends between the two."""

    name: str
    convolution: nn.Conv2d
    norm: nn.BatchNorm2d
    activation: nn.Module | None = None
    cut: tuple[nn.Module, ...] = ()
    before: Chain | None = field(default=None, repr=False)
    seam: tuple[nn.Module, ...] = ()
    _kept: tuple[Any, tuple[Tensor, Tensor]] | None = field(default=None, init=False, repr=False)
    _deviation: tuple[Any, Tensor] | None = field(default=None, init=False, repr=False)

    @property
    def frozen(self) -> bool:
        """Whether the norm takes its running statistics, as it is now."""
        return not self.norm.training

    @property
    def watched(self) -> bool:
        """Whether somebody asks for what goes in or comes out within it."""
        if any(getattr(torch_module, name, None) for name in EVERYWHERE):
            return True
        return any(_is_watched(module) for module in (*self.modules, *self.cut))

    @property
    def severed(self) -> bool:
        """Whether somebody asks for what comes out of ``before``."""
        return any(_is_watched(module) for module in self.seam)

    @property
    def trained(self) -> bool:
        own, norm = self.convolution, self.norm
        return any(one is not None and one.requires_grad for one in (own.weight, own.bias, norm.weight, norm.bias))

    def size(self, features: Sequence[int]) -> tuple[int, int, int]:
        """Channels, rows and columns of what it gives of so many, about: padding is not counted."""
        rows, columns = (-(-side // step) for side, step in zip(features[1:], self._geometry.stride, strict=True))
        return self.convolution.out_channels, rows, columns

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        rest = (self.activation,) if self.activation else ()
        return (self.convolution, self.norm, *rest)

    def forward(self, features: Tensor, dtype: torch.dtype) -> Tensor:
        """What the three give in turn, computed in ``dtype``."""
        # Convolutions of other orders fall back to slow kernels.
        features = features.to(dtype).contiguous(memory_format=torch.channels_last)
        activation, rest = self._activation()
        parts = self._parts()
        if torch.is_grad_enabled() and (parts.trained or features.requires_grad):
            padded = pad(features, self._margins(features))
            found = folded_convolution(padded, parts, self._geometry, activation)
        else:
            weight, bias = self._folded(parts, dtype)
            weight, how = widen(weight, self._geometry, self._margins(features))
            found = convolve(features, weight, bias, how, activation)
        return rest(found) if rest else found

    def forget(self) -> None:
        """Fold anew at the next pass: what is written to ``weight.data`` leaves no trace."""
        self._kept = self._deviation = None

    @property
    def _geometry(self) -> Geometry:
        own = self.convolution
        return Geometry(own.stride, own.padding, own.dilation, own.groups)  # type: ignore[arg-type]

    def _margins(self, features: Tensor) -> Margins:
        """What TensorFlow's padding adds to a map of that size."""
        own = self.convolution
        if not isinstance(own, Conv2dSame):
            return NO_MARGINS
        left, right, top, bottom = pad_same_arg(features.shape[2:], own.kernel_size, own.stride, own.dilation)
        return (left, right, top, bottom)

    def _activation(self) -> tuple[Activation, nn.Module | None]:
        """What can be folded, else the norm's own that is still to be done."""
        if self.activation:
            return ACTIVATIONS[type(self.activation)], None
        own = self.norm.act if isinstance(self.norm, BatchNormAct2d) else None
        if own is None or type(own) is nn.Identity:
            return "none", None
        known = ACTIVATIONS.get(type(own))
        return (known, None) if known else ("none", own)

    def _parts(self) -> Parts:
        own, norm = self.convolution, self.norm
        assert norm.running_mean is not None
        return Parts(own.weight, own.bias, norm.weight, norm.bias, norm.running_mean, self._inverse_deviation())

    def _inverse_deviation(self) -> Tensor:
        variance = self.norm.running_var
        assert variance is not None
        key = _state(variance)
        if self._deviation is None or self._deviation[0] != key:
            self._deviation = (key, (variance + self.norm.eps).rsqrt())
        return self._deviation[1]

    def _folded(self, parts: Parts, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight and bias; of a frozen chain those of before, while nobody has written to what they are made of."""
        if parts.trained:
            return fold(parts, dtype)
        variance = self.norm.running_var
        key = (dtype, [_state(one) for one in (*parts[:-1], variance) if one is not None])
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, fold(parts, dtype))
        return self._kept[1]


@torch.no_grad()
def find_chains(network: nn.Module, images: Tensor) -> list[Chain]:
    """The chains of ``network`` in the order of a pass of ``images`` through it, in training mode but for norms.

    Raises what the network raises. The network is left in training mode.
    """
    names = {module: name for name, module in network.named_modules()}
    record = _record(network, images)
    followers = dict(record.pairs(NORMS, tuple(ACTIVATIONS)))
    found: dict[nn.Module, Chain] = {}
    for convolution, norm in record.pairs(CONVOLUTIONS, NORMS):
        if _is_foldable(convolution, norm):
            activation = None if _has_own_activation(norm) else followers.get(norm)
            chain = Chain(names[convolution], convolution, norm, activation)  # type: ignore[arg-type]
            chain.cut = _cut(network, [names[one] for one in chain.modules])
            found[convolution] = chain
    ends = {chain.modules[-1]: chain for chain in found.values()}
    for end, convolution in record.pairs((*NORMS, *ACTIVATIONS), CONVOLUTIONS):
        if end in ends and convolution in found and record.is_taken_once(end):
            chain = found[convolution]
            chain.before = ends[end]
            members = (*chain.before.modules, *chain.modules)
            chain.seam = (*_cut(network, [names[one] for one in members]), *record.passed[end])
    return list(found.values())


class _Record(TorchDispatchMode):
    """Which module's output went, unchanged, into which other, and how often operators took it."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, tuple[Tensor, int, nn.Module]] = {}
        self._calls: Counter[nn.Module] = Counter()
        self._links: Counter[tuple[nn.Module, nn.Module]] = Counter()
        self._taken: Counter[nn.Module] = Counter()
        self.passed: defaultdict[nn.Module, list[nn.Module]] = defaultdict(list)  # by whose output it was told of

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.take((args, kwargs))
        return func(*args, **kwargs or {})

    def take(self, given: Any) -> None:
        for one in tree_leaves(given):
            if isinstance(one, Tensor) and (made := self._made.get(id(one))):
                self._taken[made[2]] += 1

    def passing(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        if made := self._made.get(id(given[0])) if given else None:
            self.passed[made[2]].append(module)

    def before(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        self._calls[module] += 1
        made = self._made.get(id(given[0])) if given else None
        # By its version too: an addition in place between norm and activation leaves the same object.
        if made and made[1] == made[0]._version:
            self._links[made[2], module] += 1

    def after(self, module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        # The tensor is held: else its id could become another's.
        self._made[id(output)] = (output, output._version, module)

    def is_taken_once(self, module: nn.Module) -> bool:
        """Whether one operator, and nobody else, takes what it gives in a call."""
        return self._taken[module] == self._calls[module]

    def pairs(
        self, first: tuple[type[nn.Module], ...], second: tuple[type[nn.Module], ...]
    ) -> list[tuple[nn.Module, nn.Module]]:
        """Modules of those kinds that follow each other in every call of either."""
        return [
            (one, other)
            for (one, other), count in self._links.items()
            if type(one) in first and type(other) in second and count == self._calls[one] == self._calls[other]
        ]


def _record(network: nn.Module, images: Tensor) -> _Record:
    record = _Record()
    handles = []
    # In training mode: what is dropped then must not be taken for nothing.
    network.train()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval()
        if type(module) in (*CONVOLUTIONS, *NORMS, *ACTIVATIONS):
            handles += [module.register_forward_pre_hook(record.before), module.register_forward_hook(record.after)]
        elif not any(module.children()):  # an identity, of which hooks may be told
            handles.append(module.register_forward_pre_hook(record.passing))
    try:
        # A run's draws must not depend on whether it was folded.
        with torch.random.fork_rng(devices=[]), record:
            outputs = network(images)
        record.take(outputs)
    finally:
        for handle in handles:
            handle.remove()
        network.train()
    return record


def _cut(network: nn.Module, members: Sequence[str]) -> tuple[nn.Module, ...]:
    """The parts of ``network`` in which some of the members lie, by their names, and others do not."""
    above = Counter(name.rsplit(".", depth)[0] for name in members for depth in range(1, name.count(".") + 1))
    return tuple(network.get_submodule(name) for name, count in above.items() if count < len(members))


def _is_foldable(convolution: nn.Module, norm: nn.Module) -> bool:
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    plain = convolution.padding_mode == "zeros" and not isinstance(convolution.padding, str)
    # A layer of dropped paths between norm and activation.
    dropped = isinstance(norm, BatchNormAct2d) and type(norm.drop) is not nn.Identity
    return plain and norm.affine and norm.running_mean is not None and not dropped


def _has_own_activation(norm: nn.Module) -> bool:
    return isinstance(norm, BatchNormAct2d) and type(norm.act) is not nn.Identity


def _state(tensor: Tensor) -> tuple[int, int]:
    """Another one after each time that somebody has written to it."""
    return tensor.data_ptr(), tensor._version


def _is_watched(module: nn.Module) -> bool:
    # A forward of the object's own is somebody's as well.
    return "forward" in vars(module) or any(getattr(module, name, None) for name in HOOKS)
