"""What images of the user's own and of frameworks run in a job, of any kind; in which words one is refused that cannot.

Which program an image stands for is decided in ``control.images``, for jobs and endpoints alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from clary.control.configuration import OURS, ImageRule
from clary.control.images import ImageCommand, Script, repository
from clary.errors import CustomerError
from clary.toolkit.frameworks import FRAMEWORKS

__all__ = ["Rules", "check_environment", "way_to_map"]

Rules = Sequence[ImageRule]


def check_environment(program: ImageCommand | Script, image: str) -> None:
    """Raises CustomerError for an image that clary.toml does not name and that needs it to."""
    match program:
        case ImageCommand(mapped=False):
            raise _unmapped(f"the image {image} is not mapped to anything that runs here", image)
        case Script(framework=framework, environment="") if framework not in FRAMEWORKS:
            raise _unmapped(f"there is no environment for {framework} here (image {image})", image)


def way_to_map(image: str) -> str:
    """For a hint: the line of clary.toml that has the image run in Clary's own environment."""
    name = repository(image)[0] or "my-image"
    line = f'[[images]] pattern = "{name}:*" environment = "{OURS}"'
    return f"say in clary.toml what it stands for, and start the platform again: {line}"


def _unmapped(what: str, image: str) -> CustomerError:
    return CustomerError(what, hint=way_to_map(image))
