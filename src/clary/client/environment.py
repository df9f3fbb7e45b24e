"""The environment in which a program written for AWS meets the gateway instead.

What each variable does was tried against the real SDKs: botocore reads AWS_ENDPOINT_URL for all but the addresses a
program names itself, which the hook catches; boto3 takes its region from AWS_DEFAULT_REGION only; without
AWS_EC2_METADATA_DISABLED a missing key costs seconds of waiting for a metadata service.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clary.control import home
from clary.control.home import Server
from clary.vision.base.files import PRIVATE, private_folder, write_bytes

__all__ = ["HOOK", "SHELLS", "Changes", "changes", "keys"]

HOOK = Path(__file__).with_name("hook")  # the folder that holds sitecustomize.py and nothing else
DATA_PATH = Path(__file__).with_name("data_path")  # additions to botocore's data: shorter pauses of SageMaker's waiters
KEY = "clary"  # access key and secret, where the gateway does not ask

_DEFAULTS = """\
# Defaults of the SageMaker SDK for programs that run against Clary.
SchemaVersion: '1.0'
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
"""

# Would lead a client elsewhere: another profile's address or keys, an address of one service, another temporary key.
_IN_THE_WAY = re.compile(
    r"AWS_(DEFAULT_PROFILE|PROFILE|SESSION_TOKEN|SECURITY_TOKEN|IGNORE_CONFIGURED_ENDPOINT_URLS"
    r"|USE_FIPS_ENDPOINT|USE_DUALSTACK_ENDPOINT|ENDPOINT_URL_.+)"
)
_ALWAYS_UNSET = ("AWS_PROFILE", "AWS_SESSION_TOKEN")
_AWS_HOSTS = (".amazonaws.com", ".amazonaws.com.cn")
_PROXY = re.compile(r"(http|https|all)_proxy", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Changes:
    """Variables to set, in the order to print them, and variables to take away."""

    values: Mapping[str, str]
    unset: tuple[str, ...]

    def applied(self, environ: Mapping[str, str]) -> dict[str, str]:
        """``environ`` with the changes made."""
        return {name: value for name, value in environ.items() if name not in self.unset} | dict(self.values)

    def script(self, shell: str) -> str:
        """Lines for ``shell``, one of SHELLS, to evaluate."""
        put, take = SHELLS[shell]
        lines = [take(name) for name in self.unset] + [put(name, value) for name, value in self.values.items()]
        return "\n".join(lines)


def changes(server: Server, environ: Mapping[str, str]) -> Changes:
    """What to change in ``environ`` so that AWS programs talk to ``server``; writes the SDK's defaults file.

    Raises UsageError when the home cannot be written or its credentials cannot be read.
    """
    access_key, secret = keys(Path(server.home))
    values = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": server.region,
        "AWS_REGION": server.region,  # the AWS CLI v2 and other SDKs look here first
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(_defaults(Path(server.home))),
        "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
        "CLARY_ENDPOINT": server.url,
        # For the clients that the hook does not reach: the AWS CLI has a botocore of its own, and v2 a Python.
        "AWS_DATA_PATH": _joined(str(DATA_PATH), environ.get("AWS_DATA_PATH", "").split(os.pathsep), os.pathsep),
        "PYTHONPATH": _joined(str(HOOK), environ.get("PYTHONPATH", "").split(os.pathsep), os.pathsep),
    }
    # Only where a proxy is set: NO_PROXY alone would change what other programs of the shell do.
    if any(_PROXY.fullmatch(name) and value for name, value in environ.items()):
        values |= _past_proxies(server.url, environ)
    found = (name for name in environ if _IN_THE_WAY.fullmatch(name))
    return Changes(values, tuple(sorted({*_ALWAYS_UNSET, *found})))


def keys(folder: Path) -> tuple[str, str]:
    """Access key and secret for the gateway of the home ``folder``: those of its file, else any will do."""
    if not (folder / "credentials.json").exists():
        return KEY, KEY
    return next(iter(home.credentials(folder).items()))


def _defaults(folder: Path) -> Path:
    path = folder / "run" / "sagemaker-defaults.yaml"
    text = _DEFAULTS.encode()
    # Written only when it differs: `clary env` runs in every new shell, perhaps several at once.
    if not path.is_file() or path.read_bytes() != text:
        private_folder(path.parent)
        write_bytes(path, text, PRIVATE)
    return path


def _past_proxies(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Botocore chooses the proxy by the address a program names, before the hook changes that; hence the AWS hosts."""
    host = urlsplit(url).hostname or ""
    listed = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    value = _joined(host, [*_AWS_HOSTS, *listed.split(",")], ",")
    return {"NO_PROXY": value, "no_proxy": value}


def _joined(first: str, others: Iterable[str], separator: str) -> str:
    """``first`` and the others, each once; empty ones are left out."""
    return separator.join(dict.fromkeys([first, *(other for other in others if other)]))


def _fish_quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _powershell_quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


Line = tuple[Callable[[str, str], str], Callable[[str], str]]

# Per shell: the line that sets a variable, and the one that takes it away.
SHELLS: Mapping[str, Line] = {
    "sh": (lambda name, value: f"export {name}={shlex.quote(value)}", lambda name: f"unset {name}"),
    "fish": (lambda name, value: f"set -gx {name} {_fish_quoted(value)}", lambda name: f"set -e {name}"),
    "powershell": (
        lambda name, value: f"$env:{name} = {_powershell_quoted(value)}",
        lambda name: f"Remove-Item Env:{name} -ErrorAction Ignore",
    ),
}
