"""The page at ``/``: drop a picture, see its classes, boxes or mask. One file, nothing fetched from elsewhere."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template

from clary.vision.artifact.manifest import Manifest
from clary.vision.base.colours import colours
from clary.wording import plural

__all__ = ["page"]

_HTML = "page.html"


def page(manifest: Manifest) -> str:
    """The HTML for a model: its task, its labels and their colours are written into it."""
    template = Template((files(__package__) / _HTML).read_text("utf-8"))
    count = len(manifest.labels)
    about = f"{plural(count, 'class')} · {manifest.network.get('architecture', manifest.algorithm)}"
    return template.substitute(
        about=escape(about),
        task=_script_json(manifest.task),
        labels=_script_json(list(manifest.labels)),
        colours=_script_json(colours(count)),
    )


def _script_json(value: object) -> str:
    """JSON that may stand inside a script element: nothing in it can end the element."""
    # Labels come from an artifact, that is, from strangers: `</script>` in one would end the script.
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
