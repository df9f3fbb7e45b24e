"""Bytes made worse: what a fault of a disk, a wrong program or ill will makes of a file."""

from __future__ import annotations

import gzip
import os
import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.control.wire.hostile import TEXTS, TOKENS

__all__ = ["mutate", "worsen"]

# Names, coordinates and counts that broke readers.
NUMBERS = [b"-1", b"0", b"1e308", b"NaN", b"9" * 30, b"9" * 5000, b"0.5", b"65536", b"2147483648", b"-0", b"1e-320"]
SHARES = (b"\0", b"\xff", b"\n", b"\t", b" ", b"'", b'"', b"[", b"{", b"<", b"\\", b"\xed\xa0\x80")


def mutate(dice: random.Random, data: bytes) -> bytes:
    """``data`` changed in one to three places, for the most part so that a reader comes some way."""
    for _ in range(dice.choice([1, 1, 1, 2, 3])):
        data = dice.choice(_CHANGES)(dice, data)
    return data


def worsen(dice: random.Random, path: Path) -> str:
    """Change a file in place, or put something in its place that is no file; what was done, for a finding."""
    kinds = ["bytes"] * 16 + ["pipe", "loop", "folder", "device", "none", "name", "locked"]
    match kind := dice.choice(kinds):
        case "bytes":
            path.write_bytes(mutate(dice, path.read_bytes()))
            return f"{path.name} changed"
        case "locked":
            path.chmod(0)  # root reads it all the same
            return f"{path.name} may not be read"
        case "name":
            name = dice.choice([b"\xff", "e\u0301".encode(), b"a\nb", b" ", b"-", b"x" * 200]) + os.fsencode(
                path.suffix
            )
            os.rename(path, os.path.join(os.fsencode(path.parent), name))
            return f"{path.name} is called {name!r}"
    path.unlink()
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path.name)
        case "folder":
            path.mkdir()
        case "device":
            path.symlink_to("/dev/zero")
    return f"{path.name} is a {kind}"


def _cut(dice: random.Random, data: bytes) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _flip(dice: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 4, 40]) if data else 0):
        # Most of what is read differently stands at the beginning.
        place = dice.randrange(len(data)) if dice.random() < 0.5 else dice.randrange(min(len(data), 300))
        changed[place] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _insert(dice: random.Random, data: bytes) -> bytes:
    place = dice.randrange(len(data) + 1)
    inserted = dice.choice([dice.choice(SHARES), dice.randbytes(8), dice.choice(SHARES) * 10_000, _text(dice)])
    return data[:place] + inserted + data[place:]


def _number(dice: random.Random, data: bytes) -> bytes:
    """Another number in place of one that stands there in digits."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", data[:100_000]))
    if not found:
        return _word(dice, data)
    match = dice.choice(found)
    return data[: match.start()] + dice.choice(NUMBERS) + data[match.end() :]


def _word(dice: random.Random, data: bytes) -> bytes:
    """Another word in place of a name, a value or a tag."""
    found = list(re.finditer(rb"[A-Za-z_./]{2,}", data[:100_000]))
    if not found:
        return _flip(dice, data)
    match = dice.choice(found)
    new = dice.choice([b"", _text(dice), dice.choice(TOKENS).encode(), dice.choice(found)[0]])
    return data[: match.start()] + new + data[match.end() :]


def _line(dice: random.Random, data: bytes) -> bytes:
    """A line gone, twice, or many times."""
    lines = data.split(b"\n")
    place = dice.randrange(len(lines))
    lines[place : place + 1] = [lines[place]] * dice.choice([0, 2, 2, 1000 if len(lines[place]) < 1000 else 2])
    return b"\n".join(lines)


def _integer(dice: random.Random, data: bytes) -> bytes:
    """A count, size or offset of a binary format, at any place of the first bytes."""
    if len(data) < 8:
        return data
    place = dice.randrange(min(len(data) - 4, 400))
    value = dice.choice([0, 1, 255, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1])
    return data[:place] + value.to_bytes(4, dice.choice(["little", "big"])) + data[place + 4 :]


def _instead(dice: random.Random, data: bytes) -> bytes:
    """Something else altogether."""
    deep = dice.choice([b"[" * 100_000, b'{"a":' * 20_000, b"<a>" * 50_000])
    bomb = zlib.compress(bytes(50 << 20), 9)
    return dice.choice(
        [b"", deep, bomb, gzip.compress(data), b"\x1f\x8b" + data, dice.randbytes(100), b"\xef\xbb\xbf" + data]
    )


def _utf16(dice: random.Random, data: bytes) -> bytes:
    return data.decode("latin-1").encode("utf-16")


def _text(dice: random.Random) -> bytes:
    return dice.choice(TEXTS).encode("utf-8", "surrogatepass")


_CHANGES: list[Callable[[random.Random, bytes], bytes]] = [
    *(_cut, _flip, _flip, _insert, _number, _number, _word, _word, _line, _integer, _integer),
    *(_instead, _utf16),
]
