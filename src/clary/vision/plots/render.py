"""Figures to files: SVG to be set into a page, PNG to be looked at."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from clary.vision.base.files import write_bytes
from clary.vision.plots._style import COLOURS, Figure

__all__ = ["png", "svg"]

# Matplotlib's settings and Python's warning filters are one for the whole process.
_SETTINGS = threading.Lock()
_XLINK = "{http://www.w3.org/1999/xlink}href"
_PROLOGUE = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)


def svg(figure: Figure, title: str) -> str:
    """The figure as an ``<svg>`` element to be set into a page; ``title`` is what a screen reader says.

    Text stays text in the font of the page, colours become CSS variables (``_style.COLOURS``), nothing points outside,
    and the same figure gives the same text every time.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    text = io.StringIO()
    # Text stays text, to be found and read aloud; a fixed salt gives the same names of parts every time.
    with _settings({"svg.fonttype": "none", "svg.hashsalt": "clary"}):
        # The date would make the same figure another file.
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None})  # type: ignore[no-untyped-call]
    root = ElementTree.fromstring(_PROLOGUE.sub("", text.getvalue(), count=1))
    return _embeddable(root, title)


def png(figure: Figure, path: Path, dpi: int = 144) -> Path:
    """Write the figure on white to ``path``. Raises UsageError when it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    data = io.BytesIO()
    with _settings({}):
        FigureCanvasAgg(figure)
        # The name of the software holds a version, which would make the same figure another file.
        figure.savefig(data, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    write_bytes(path, data.getvalue())
    return path


@contextmanager
def _settings(values: dict[str, str]) -> Iterator[None]:
    """Settings for the time of one drawing. A letter the font lacks is no fault: the page has fonts of its own."""
    import matplotlib

    with _SETTINGS, warnings.catch_warnings(), matplotlib.rc_context(values):  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield


def _embeddable(root: ElementTree.Element, title: str) -> str:
    """Drop what only a file of its own needs, and what would reach beyond the picture: its style sheet, its names."""
    # Only those that something refers to: several figures stand on one page, and ids must not come twice.
    kept = {ref for element in root.iter() for ref in _references(element)}
    for parent in list(root.iter()):
        # A list of its own: an element that is taken out while its parent is gone through hides the next.
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if element.get("id") not in kept:
            element.attrib.pop("id", None)
        if _XLINK in element.attrib:
            element.set("href", element.attrib.pop(_XLINK))
        if "style" in element.attrib:
            element.set("style", _themed(element.attrib["style"]))
    # The page decides how wide it is; viewBox keeps the proportions.
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-label": title, "stroke-linejoin": "round", "stroke-linecap": "butt"}
    root.set("xmlns", "http://www.w3.org/2000/svg")
    return ElementTree.tostring(root, encoding="unicode")


def _references(element: ElementTree.Element) -> list[str]:
    used = re.findall(r"#([\w-]+)", element.get("clip-path", ""))
    return [*used, element.get(_XLINK, "").removeprefix("#")]


def _themed(style: str) -> str:
    style = re.sub(r"font-family: [^;]*;? ?", "", style)
    for colour, name in COLOURS.items():
        style = style.replace(colour, f"var({name}, {colour})")
    return style
