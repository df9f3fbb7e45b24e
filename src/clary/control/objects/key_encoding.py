"""File names for keys that no plain path can have: one to one, and in the order of the keys.

Below ``BUCKET/.clary-keys`` a key is a path again. What stands before a slash is a folder, whose name ends in ``+``;
what stands behind the last slash is a file, called ``%`` where it is empty. So a file and a folder never need one name:
``a/b`` beside ``a`` is ``a+/b``, ``x//`` is ``x+/+/%``. Bytes other than letters, digits, ``-``, ``_`` and ``.`` are
written ``%XX``, and so is a dot in front. What is longer than ``CHUNK`` bytes goes on in a folder whose name ends in
``~``. Names with ``!`` hold metadata (``sidecars``). See docs/decisions/0013.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes

__all__ = ["ENCODED", "decoded", "encoded_names"]

ENCODED = ".clary-keys"  # the folder of encoded keys in a bucket's folder
# Three characters a byte, and 30 for what marks a sidecar, stay below the 255 of a file name.
CHUNK = 70
_EMPTY, _FOLDER, _GOES_ON = "%", "+", "~"


def encoded_names(key: bytes) -> list[str]:
    """The names of the folders and, last, of the file that ``key`` has below ``ENCODED``.

    Of a key that ends in a slash all but the last name are those of the folder that it stands for.
    """
    *folders, last = key.split(b"/")
    names: list[str] = []
    for part in folders:
        names += _names(part + b"/")
    return [*names, *_names(last)]


def decoded(name: str, *, is_folder: bool) -> bytes | None:
    """The piece of a key that a name stands for, a slash at its end included; None for a name nobody encoded."""
    # Only what encoding gives is a key: `%61` would be a second name of `a`.
    if is_folder and name.endswith(_GOES_ON):
        piece = unquote_to_bytes(name[:-1])
        return piece if piece and _escaped(piece) + _GOES_ON == name else None
    piece = unquote_to_bytes(name[:-1]) + b"/" if is_folder else unquote_to_bytes(name.removesuffix(_EMPTY))
    return piece if _name(piece) == name else None


def _names(part: bytes) -> Iterator[str]:
    # A slash counts as a byte of its part: then all that a part goes on with, `/` as well as `!`, lies in one folder,
    # and folders hold what stands together in a listing.
    while len(part) > CHUNK:
        yield _escaped(part[:CHUNK]) + _GOES_ON
        part = part[CHUNK:]
    yield _name(part)


def _name(piece: bytes) -> str:
    if piece.endswith(b"/"):
        return _escaped(piece[:-1]) + _FOLDER
    return _escaped(piece) or _EMPTY


def _escaped(piece: bytes) -> str:
    text = quote(piece, safe="").replace("~", "%7E")
    return f"%2E{text[1:]}" if text.startswith(".") else text
