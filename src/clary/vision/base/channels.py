"""The input channels an algorithm takes, and the sentences in which others are refused.

A job is refused by the same words whether that shows when it is created or, where only the files tell, in the job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points

from clary.errors import CustomerError
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel, canonical, media_type
from clary.wording import similar_names

__all__ = [
    "MODEL",
    "ChannelSpec",
    "check",
    "is_dataset",
    "kind_of",
    "not_in_this_mode",
    "not_read",
    "require",
    "unused",
]

MODEL = "model"  # the channel of a model to go on from; no data


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """An input the algorithm takes. Of its ``content_types`` those ``streamed`` are taken in Pipe mode as well."""

    name: str
    content_types: tuple[str, ...]
    required: bool = False
    streamed: tuple[str, ...] = ()
    meaning: str = ""

    @property
    def modes(self) -> tuple[str, ...]:
        """The input modes; FastFile is as good as File."""
        return ("File", "Pipe") if self.streamed else ("File",)


def check(taken: Sequence[ChannelSpec], given: Mapping[str, Channel]) -> None:
    """Refuse channels with which a job of the algorithm could only fail. Raises CustomerError in the job's words.

    A channel of another name is not refused: nothing reads it, and what a job leaves alone does it no harm.
    """
    # A model to go on from is no data, whatever its content type says.
    data = {name: channel for name, channel in given.items() if name != MODEL}
    if any(is_dataset(channel) for channel in data.values()):
        return  # our own holds a whole data set, and nothing beside it is read
    require(data, [one.name for one in taken if one.required])
    # Of all channels together: of images, lists and annotations alike a job may say `application/x-image`.
    kinds = {kind for one in taken if one.name != MODEL for kind in one.content_types}
    streamed = {kind for one in taken for kind in one.streamed}
    for channel in data.values():
        kind = kind_of(channel)
        # Formats of other distributions bring types of their own; to ask them takes the libraries that decode images.
        if kind and kind not in kinds and not entry_points(group="clary.formats"):
            raise not_read(channel, kinds)
        if kind in kinds - streamed and channel.input_mode == "Pipe":
            raise not_in_this_mode(channel, kind, "File")


def unused(taken: Sequence[ChannelSpec], given: Mapping[str, Channel]) -> list[str]:
    """A sentence for each channel that the algorithm does not know, with the name that was perhaps meant."""
    known = [one.name for one in taken]
    # Ours holds all data, and whatever is beside it is another's.
    if any(is_dataset(channel) for channel in given.values()):
        return []
    sentences = []
    for name in given:
        if name not in known:
            close = similar_names(name, set(known) - given.keys())
            meant = f" Did you mean {close[0]}?" if close else ""
            sentences.append(f"The channel '{name}' is not used: this algorithm knows {', '.join(known)}.{meant}")
    return sentences


def is_dataset(channel: Channel) -> bool:
    """Whether the channel is our own: a data set in any layout, in a channel of any name."""
    return channel.name == "dataset" or kind_of(channel) == DATASET_CONTENT_TYPE


def kind_of(channel: Channel) -> str:
    """The content type without its parameters, empty where the request gave none; by its registered name where it has
    others that the service takes."""
    return canonical(media_type(channel.content_type)[0])


def require(given: Collection[str], names: Sequence[str]) -> None:
    """Raises CustomerError for those of ``names`` that are not given."""
    missing = [name for name in names if name not in given]
    if missing:
        what = f"The {' and '.join(missing)} channel{'s are' if len(missing) > 1 else ' is'} missing"
        others = [name for name in given if name not in names]
        close = [near for name in missing for near in similar_names(name, others)]
        misspelt = f"; is `{close[0]}` meant for one of them" if close else ""
        raise CustomerError(what, hint=f"this algorithm needs the channels {' and '.join(names)}{misspelt}")


def not_read(channel: Channel, kinds: Iterable[str]) -> CustomerError:
    """What to say of a content type that is none of ``kinds``."""
    what = f"The {channel.name} channel has the content type `{kind_of(channel)}`, which is not read here"
    return CustomerError(what, hint=f"use one of {', '.join([*sorted(kinds), DATASET_CONTENT_TYPE])}")


def not_in_this_mode(channel: Channel, kind: str, mode: str) -> CustomerError:
    """What to say of a channel whose ``kind`` is read in ``mode`` only."""
    what = f"The {channel.name} channel is in {channel.input_mode} mode"
    return CustomerError(what, hint=f"{kind} is read in {mode} mode")
