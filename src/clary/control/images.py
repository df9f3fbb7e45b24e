"""Container image URIs: what a request calls a program.

Account and region vary, so a program is known by repository and tag alone.
"""

from __future__ import annotations

__all__ = ["repository"]


def repository(uri: str) -> tuple[str, str]:
    """Repository (last part) and tag of an image URI; the tag is ``latest`` where there is none.

    ``811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1`` gives ``("image-classification", "1")``.
    A digest (``@sha256:...``) is no tag.
    """
    name, _, tag = uri.rpartition("/")[2].partition("@")[0].partition(":")
    return name, tag or "latest"
