"""requirements.txt: what is to be installed, and whether that is the same wherever it is asked for again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from clary.errors import CustomerError, UsageError

__all__ = ["Requirements", "read_requirements", "requirements_of"]

MOST_FILES = 100  # that one may include, by way of the others

_INCLUDED = re.compile(r"(?:-r|--requirement|-c|--constraint)[ =]?\s*(\S+)")
# What is taken from the source itself, or from elsewhere on this machine: another source has other bytes there. pip
# takes a word for a path that begins with a dot, has a slash in it or ends as archives do (its own
# `_get_url_from_path`), unless it is an address.
_OPTION = re.compile(r"--?[A-Za-z]")
_ALWAYS = re.compile(r"-e|--editable\b|-f|--find-links\b")
_ADDRESS = re.compile(r"(?!(?:\w+\+)?file:)[A-Za-z][\w+.-]*://")
_PATH = re.compile(r"[.~]|.*[/\\]|.*\.(?:whl|zip|tar|tgz|tbz|txz|tlz|tar\.(?:gz|bz2|xz|lz|lzma))(?:\[.*)?$|.*\bfile:")


@dataclass(frozen=True, slots=True)
class Requirements:
    """What to install. ``lines`` are those that count, of ``file`` and of all that it includes; ``shared`` says that
    they mean the same in every job. ``name`` is what the file is called to its author. Without ``dependencies`` only
    the packages themselves are installed, and not what they say they need."""

    lines: tuple[str, ...]
    shared: bool
    name: str = "requirements.txt"
    file: Path | None = None
    dependencies: bool = True

    def __bool__(self) -> bool:
        return bool(self.lines)


def requirements_of(*lines: str, name: str, dependencies: bool = True) -> Requirements:
    """Requirements that stand in no file."""
    return Requirements(lines, shared=True, name=name, dependencies=dependencies)


def read_requirements(file: Path) -> Requirements:
    """What the requirements file says; nothing where it is empty.

    Raises CustomerError for one that is no text, that includes a file which is not there, or itself.
    """
    lines: list[str] = []
    shared = _read(file, lines, [])
    return Requirements(tuple(lines), shared, file.name, file)


def _read(file: Path, lines: list[str], above: list[Path]) -> bool:
    if len(above) > MOST_FILES or file in above:
        raise CustomerError(f"includes {file.name} again", where=above[-1].name, hint="take the line out")
    shared = True
    for line in _text(file, above).splitlines():
        # A comment begins after a space (pip's own rule): `package @ https://host/a#egg=b` has none.
        stripped = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not stripped:
            continue
        if included := _INCLUDED.match(stripped):
            lines.append(stripped)
            if _is_local(included[1]) and "://" in included[1]:
                shared = False
            elif "://" not in included[1]:
                shared &= _read(file.parent / included[1], lines, [*above, file])
        else:
            lines.append(stripped)
            shared &= not _is_of_this_machine(stripped)
    return shared


def _is_of_this_machine(line: str) -> bool:
    """Whether a line names what lies in the source, or elsewhere on this machine."""
    if _ALWAYS.match(line):
        return True
    if _OPTION.match(line):
        # An index may be a folder, too.
        words = re.split(r"[\s=]", line, maxsplit=1)
        return bool(re.match(r"-i(?!https?:)\S", line)) or any(map(_is_local, words[1:]))
    word = re.split(r"\s*;|\s+--|\s*\\$", line, maxsplit=1)[0]  # without its marker, its hashes, its next line
    if _ADDRESS.match(word):
        return False
    return any(_is_local(part.strip()) for part in word.split("@", 1))


def _is_local(word: str) -> bool:
    return not _ADDRESS.match(word) and bool(_PATH.match(word))


def _text(file: Path, above: list[Path]) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        if above:
            what = f"includes {file.name}, which cannot be read ({error.strerror})"
            raise CustomerError(what, where=above[-1].name, hint="add the file, or take the line out") from error
        raise UsageError(f"cannot be read ({error.strerror})", where=file, hint="name another") from error
    except UnicodeDecodeError as error:
        raise CustomerError(
            "is not UTF-8", where=file.name, hint="save it as UTF-8 (PowerShell: -Encoding utf8)"
        ) from error
