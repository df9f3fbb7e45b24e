"""The platform's variables for a program that it starts: a job's, or a user's own serving code."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from clary.control import home
from clary.control.settings import Settings

__all__ = ["platform_environment"]

# Of the gateway's own environment, what a program needs to find its libraries, its devices and its way out.
_KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TZ|LANG|LANGUAGE|LC_.*|TMPDIR|LD_LIBRARY_PATH|VIRTUAL_ENV|PYTHONPATH|XDG_.*_HOME"
    r"|CLARY_(PICTURES|WEIGHTS)|(CUDA|NVIDIA|OMP|MKL|OPENBLAS|KMP|TORCH|HF|PIP|ONEDNN|DNNL|OPENVINO)_.*"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|(?i:(http|https|all|no)_proxy)"
)
_KEY = "clary"  # where the gateway asks for no key


def platform_environment(settings: Settings, region: str, *, own: Mapping[str, str]) -> dict[str, str]:
    """The platform's variables for a program that runs in ``region``; ``own`` are those of its kind of job."""
    key, secret = _keys(settings)
    variables = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    variables |= _past_proxies(variables)
    return variables | {
        # Both: the training toolkit reads the first, boto3 only the second.
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ENDPOINT_URL": settings.url,
        # The training toolkit fetches the user's source archive from here (sagemaker-training 5.1.4).
        "S3_ENDPOINT_URL": settings.url,
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        # Without it a client that finds no key waits seconds for a metadata service that is not there.
        "AWS_EC2_METADATA_DISABLED": "true",
        # To a pipe Python writes in blocks: the log would come minutes late.
        "PYTHONUNBUFFERED": "1",
        **own,
    }


def _keys(settings: Settings) -> tuple[str, str]:
    """Those the gateway asks for, if it does."""
    if not (settings.home / "credentials.json").exists():
        return _KEY, _KEY
    return next(iter(home.credentials(settings.home).items()))


def _past_proxies(variables: Mapping[str, str]) -> dict[str, str]:
    """The gateway is on this machine, whatever proxy leads out of it."""
    if not any(name.lower().endswith("_proxy") for name in variables):
        return {}
    listed = variables.get("no_proxy") or variables.get("NO_PROXY") or ""
    value = ",".join(filter(None, ["127.0.0.1", "localhost", listed]))
    return {"NO_PROXY": value, "no_proxy": value}
