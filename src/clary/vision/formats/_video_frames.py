"""Augmented manifests of video: a line names a sequence of frames and the file of their boxes; here it becomes a line a
frame.

    {"source-ref": "s3://bucket/seq1.json", "cars-ref": "s3://bucket/0/SeqLabel.json", "cars-ref-metadata":
     {"class-map": {"0": "car"}, "type": "groundtruth/video-object-detection", ...}}

    seq1.json       {"seq-no": 1, "prefix": "s3://bucket/video1/", "frames": [{"frame-no": 1, "frame": "0001.jpg"}]}
    SeqLabel.json   {"detection-annotations": [{"frame": "0001.jpg", "annotations": [
                        {"class-id": "0", "left": 339, "top": 152, "width": 53, "height": 41}]}]}
                    of object tracking: "tracking-annotations"

Frames that nobody labelled are in no such list, and left out. Source: SageMaker developer guide, "Create a Video Frame
Sequence File", "Output data" (video object detection and tracking).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clary.errors import DataError
from clary.vision.formats._wording import shown

__all__ = ["frames_of", "is_video"]

VIDEO = "groundtruth/video-object-"  # detection, tracking
_HINT = "mend the file or remove the line"


def is_video(line: Mapping[str, Any], attribute: str) -> bool:
    """Whether the label of a line is that of video frames."""
    metadata = line.get(f"{attribute}-metadata")
    return isinstance(metadata, dict) and str(metadata.get("type", "")).startswith(VIDEO)


def frames_of(
    line: Mapping[str, Any], source_file: tuple[str, Path], label_file: tuple[str, Path]
) -> list[dict[str, Any]]:
    """A line for each labelled frame, its boxes as object detection has them. The keys of sequence and labels come with
    the files they name.

    Raises DataError for files that cannot be read or are laid out otherwise.
    """
    sequence, labels = (_json(path, key) for key, path in (source_file, label_file))
    source, attribute = source_file[0], label_file[0]
    prefix = sequence.get("prefix")
    found = labels.get("detection-annotations", labels.get("tracking-annotations"))
    if not isinstance(prefix, str) or not isinstance(found, list):
        what = f"`{source}` has no `prefix`" if not isinstance(prefix, str) else f"`{attribute}` has no list of frames"
        raise DataError(what, hint=_HINT)
    kept = {key: value for key, value in line.items() if key not in (source, attribute)}
    lines = []
    for frame in found:
        if not isinstance(frame, dict) or not isinstance(frame.get("frame"), str):
            raise DataError(f"`{attribute}` has a frame without the name of its picture", hint=_HINT)
        boxes = [_box(box) for box in frame.get("annotations") or ()]
        picture = f"{prefix.rstrip('/')}/{frame['frame']}"
        lines.append({source: picture, attribute: {"annotations": boxes}, **kept})
    return lines


def _box(value: object) -> object:
    """A box with its class id as object detection spells it, a number; what is none is for who reads boxes."""
    if not isinstance(value, dict) or "class-id" not in value:
        return value
    class_id = value["class-id"]
    return {**value, "class_id": int(class_id) if isinstance(class_id, str) and class_id.isdecimal() else class_id}


def _json(path: Path, key: str) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"`{key}` cannot be read ({error.strerror})", hint="mend its permissions") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"`{key}` names {shown(path.name)}, which is not JSON", hint=_HINT) from error
    if not isinstance(value, dict):
        raise DataError(f"`{key}` names {shown(path.name)}, which is no JSON object", hint=_HINT)
    return value
