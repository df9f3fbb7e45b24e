"""clary.toml: what container images run on this machine, in which Python environments, and which folders stand for
buckets and file systems of AWS's.

    [environments.tf]                  # a name of one's own
    requirements = "tf.txt"            # made of this file, on top of Clary's own environment; or
    # python = "/opt/venvs/tf"         # one that is there: its folder, or its interpreter

    [[images]]                         # the first whose pattern fits counts
    pattern = "my-trainer:*"           # of the whole URI, of repository:tag or of the repository; * and ? as in a shell
    environment = "tf"                 # "clary" is Clary's own
    command = ["python", "main.py"]    # the image's ENTRYPOINT, started with `train`; without it a script is run

    [buckets]                          # a bucket's name, or a pattern of names: a folder, which is only read
    sagemaker-sample-files = "/data/samples"
    "jumpstart-cache-prod-*" = "/data/jumpstart"

    [filesystems]                      # the id of an EFS or FSx file system: a folder
    fs-0123456789abcdef0 = "/data/shared"

It lies in the home, or where ``clary up --config`` says, and is read once, at ``clary up``: never from the working
folder, where anybody's data may lie. Relative paths are relative to the file.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from clary.errors import UsageError
from clary.wording import similar_names

__all__ = [
    "FILE",
    "OURS",
    "Configuration",
    "ImageRule",
    "InstalledEnvironment",
    "NamedEnvironment",
    "RequirementsEnvironment",
    "configuration_of",
    "read_configuration",
]

FILE = "clary.toml"
OURS = "clary"  # the environment that Clary itself runs in
LARGEST = 64 << 10  # bytes; a line is found by reading the file up to each of its lines

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_BUCKET = re.compile(r"[a-z0-9*?][a-z0-9.*?-]{0,62}")
_FILESYSTEM = re.compile(r"fs-[0-9a-z]{8,40}")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_TYPES = {str: "a string", list: "an array", dict: "a table", bool: "a boolean", int: "an integer", float: "a float"}

Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class InstalledEnvironment:
    """An environment that is there, by its interpreter."""

    python: Path


@dataclass(frozen=True, slots=True)
class RequirementsEnvironment:
    """An environment made of a requirements file, on top of Clary's own."""

    file: Path


NamedEnvironment = InstalledEnvironment | RequirementsEnvironment


@dataclass(frozen=True, slots=True)
class ImageRule:
    """What the images run whose URI fits ``pattern``: ``command`` is their ENTRYPOINT, ``environment`` a name in
    ``Configuration.environments`` or OURS; at least one of the two is not empty."""

    pattern: str
    environment: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of clary.toml; without one, nothing. ``file`` is where it was read from."""

    images: tuple[ImageRule, ...] = ()
    environments: Mapping[str, NamedEnvironment] = field(default_factory=dict)
    buckets: Mapping[str, Path] = field(default_factory=dict)  # folders by name or pattern, in the order of the file
    filesystems: Mapping[str, Path] = field(default_factory=dict)  # folders by id
    file: Path | None = None


def configuration_of(home: Path, given: Path | None = None) -> Configuration:
    """The configuration of a home: that of the file ``given``, else of its clary.toml, else an empty one.

    Raises UsageError as ``read_configuration``, and where ``given`` is not there.
    """
    path = given if given is not None else home / FILE
    return read_configuration(path) if given is not None or path.exists() else Configuration()


def read_configuration(path: Path) -> Configuration:
    """What the file ``path`` says.

    Raises UsageError naming file and line: the file cannot be read or is no TOML, a key that does not exist (with the
    nearest that does), a value of another type, an environment or a path that is not there.
    """
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error
    except RecursionError as error:
        raise UsageError("is nested too deeply", where=path, hint="write it anew") from error
    whole = _Table(path, text, document)
    environments = {name: _environment(name, table) for name, table in whole.named_tables("environments")}
    images = tuple(_rule(table, environments) for table in whole.tables("images"))
    buckets, filesystems = _buckets(whole.table("buckets")), _filesystems(whole.table("filesystems"))
    whole.end()
    return Configuration(images, environments, buckets, filesystems, path)


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read ({error.strerror})", where=path, hint="name another with --config") from error
    if len(data) > LARGEST:
        raise UsageError(f"is larger than {LARGEST >> 10} KiB", where=path, hint="name a configuration of Clary's")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UsageError("is not UTF-8", where=f"{path}:{line}", hint="save it as UTF-8") from error


def _syntax_error(path: Path, text: str, said: str) -> UsageError:
    place = _PLACE.search(said)
    line = int(place[1]) if place and place[1] else text.rstrip("\n").count("\n") + 1
    what = said[: place.start()] if place else said
    return UsageError(f"is no TOML: {what[:1].lower()}{what[1:]}", where=f"{path}:{line}", hint="see https://toml.io")


def _environment(name: str, table: _Table) -> NamedEnvironment:
    if not _NAME.fullmatch(name) or name == OURS:
        why = "is the name of Clary's own" if name == OURS else "cannot be the name of an environment"
        table.refuse(f"`{name}` {why}", hint="use letters, digits, . _ -")
    python, requirements = table.path("python"), table.path("requirements")
    table.end()
    if python is not None and requirements is None:
        return InstalledEnvironment(_interpreter(table, python))
    if requirements is not None and python is None:
        if not requirements.is_file():
            table.refuse(f"there is no file {requirements}", "requirements", hint="write it, or name another")
        return RequirementsEnvironment(requirements)
    table.refuse(f"the environment `{name}` needs one of `python` and `requirements`", hint="give one of them")


def _interpreter(table: _Table, given: Path) -> Path:
    found = given / "bin" / "python" if given.is_dir() else given
    if not (found.is_file() and os.access(found, os.X_OK)):
        table.refuse(f"there is no Python at {found}", "python", hint="name a virtual environment or an interpreter")
    return found


def _rule(table: _Table, environments: Mapping[str, NamedEnvironment]) -> ImageRule:
    pattern, environment, command = table.string("pattern"), table.string("environment"), table.strings("command")
    table.end()
    if not pattern:
        table.refuse("images need a `pattern`", hint='pattern = "my-trainer:*", say')
    if not environment and not command:
        table.refuse(f"`{pattern}` names neither `environment` nor `command`", hint=f'environment = "{OURS}", say')
    if environment and environment != OURS and environment not in environments:
        near = similar_names(environment, [OURS, *environments])
        hint = f"did you mean {near[0]}?" if near else f"add [environments.{environment}], or use {OURS}"
        table.refuse(f"there is no environment `{environment}`", "environment", hint=hint)
    if any("\0" in word for word in command):
        table.refuse("`command` holds a character that no command may have", "command", hint="take the NUL out")
    return ImageRule(pattern, environment, command)


def _buckets(table: _Table) -> dict[str, Path]:
    found = table.folders()
    for name in found:
        if not _BUCKET.fullmatch(name):
            hint = 'give a name, or a pattern with * and ?: "jumpstart-cache-prod-*", say'
            table.refuse(f"no bucket can be called `{name}`", name, hint=hint)
    return found


def _filesystems(table: _Table) -> dict[str, Path]:
    found = table.folders()
    for name in found:
        if not _FILESYSTEM.fullmatch(name):
            table.refuse(f"`{name}` is no id of a file system", name, hint="they begin with fs-")
    return found


class _Table:
    """A table of the file, read key by key; every complaint names the line."""

    def __init__(self, path: Path, text: str, values: Mapping[str, Any], keys: Keys = ()) -> None:
        self._path, self._text, self._values, self._keys = path, text, values, keys
        self._known: list[str] = []

    def string(self, key: str) -> str:
        """The string of ``key``, empty where there is none. Raises UsageError for another type, as all of these do."""
        value = self._value(key, str, "")
        return str(value)

    def strings(self, key: str) -> tuple[str, ...]:
        values = self._value(key, list, [])
        for value in values:
            if not isinstance(value, str):
                self.refuse(f"`{key}` is to be an array of strings, and holds {_type(value)}", key, hint="quote it")
        return tuple(values)

    def path(self, key: str) -> Path | None:
        given = self.string(key)
        if "\0" in given:
            self.refuse(f"`{key}` is no path", key, hint="take the NUL out")
        # Not resolved: a virtual environment's interpreter is a link, and what it is a link in matters.
        return self._path.absolute().parent / Path(given).expanduser() if given else None

    def folders(self) -> dict[str, Path]:
        """The folder of every key. Raises UsageError for one that is not there."""
        found = {}
        for key in self._values:
            folder = self.path(key)
            if folder is None or not folder.is_dir():
                shown = self.string(key) if folder is None else folder
                self.refuse(f"there is no folder {shown}".rstrip(), key, hint="make it, or name another")
            found[key] = folder
        return found

    def table(self, key: str) -> _Table:
        """The table ``key``, empty where there is none."""
        return self._inner(self._value(key, dict, {}), key)

    def named_tables(self, key: str) -> list[tuple[str, _Table]]:
        """The tables in the table ``key``, by name."""
        found = self._value(key, dict, {})
        for name, values in found.items():
            if not isinstance(values, dict):
                hint = f"write it as [{key}.{name}]"
                self._refuse_at((key, name), f"`{key}.{name}` is to be a table, and is {_type(values)}", hint)
        return [(name, self._inner(values, key, name)) for name, values in found.items()]

    def tables(self, key: str) -> list[_Table]:
        """The tables of the array ``key``."""
        found = self._value(key, list, [])
        for number, values in enumerate(found):
            if not isinstance(values, dict):
                hint = f"write each as [[{key}]]"
                self._refuse_at((key, number), f"`{key}` is to be an array of tables, and holds {_type(values)}", hint)
        return [self._inner(values, key, number) for number, values in enumerate(found)]

    def end(self) -> None:
        """Refuse the keys that nothing above has read."""
        for key in self._values:
            if key not in self._known:
                near = similar_names(key, self._known)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(self._known)}"
                self.refuse(f"there is no key `{key}`", key, hint=hint)

    def refuse(self, what: str, key: str = "", *, hint: str) -> NoReturn:
        """Raise UsageError at the line of ``key``, or where the table begins."""
        self._refuse_at((key,) if key else (), what, hint)

    def _refuse_at(self, keys: Keys, what: str, hint: str) -> NoReturn:
        raise UsageError(what, where=f"{self._path}:{_line(self._text, self._keys + keys)}", hint=hint)

    def _value(self, key: str, kind: type, default: Any) -> Any:
        self._known.append(key)
        value = self._values.get(key, default)
        # True is no integer here, though bool is a subclass of int.
        if type(value) is not kind:
            self.refuse(f"`{key}` is to be {_TYPES[kind]}, and is {_type(value)}", key, hint=f"give {_TYPES[kind]}")
        return value

    def _inner(self, values: Mapping[str, Any], *keys: str | int) -> _Table:
        return _Table(self._path, self._text, values, self._keys + keys)


def _type(value: object) -> str:
    return _TYPES.get(type(value), "a date or time")


def _line(text: str, keys: Keys) -> int:
    """The line, from 1, on which the statement begins that brings ``keys`` into being.

    tomllib does not tell where a value stands; but what is in the file up to a line, it does.
    """
    lines = text.split("\n")
    before = 0
    for count in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:  # in the middle of a statement of several lines
            continue
        if _has(document, keys):
            break
        before = count
    return before + 1


def _has(value: Any, keys: Keys) -> bool:
    for key in keys:
        if isinstance(value, dict):
            if key not in value:
                return False
        elif not (isinstance(value, list) and isinstance(key, int) and key < len(value)):
            return False
        value = value[key]
    return True
