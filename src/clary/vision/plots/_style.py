"""The one look of all charts: few colours, no boxes, labels instead of legends.

Colours are Okabe and Ito's (Color Universal Design, 2008), told apart by people with any common colour blindness. They
are names as much as colours: ``render.svg`` turns each into a CSS variable with this value as its fallback, so that a
page can give them other values in dark mode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clary.errors import MissingPackageError

try:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
except ModuleNotFoundError as missing:
    raise MissingPackageError("charts need matplotlib", hint='pip install "clary[report]"') from missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "BLUE",
    "COLOURS",
    "GREEN",
    "INK",
    "LINE",
    "MUTED",
    "ON_COLOUR",
    "ORANGE",
    "SPLITS",
    "Figure",
    "bare",
    "figure",
    "heading",
    "label",
]

INK = "#24292f"  # text
MUTED = "#656d76"  # axis numbers, remarks
LINE = "#d0d7de"  # grid
BLUE = "#0072b2"
ORANGE = "#d55e00"
GREEN = "#009e73"
ON_COLOUR = "#ffffff"  # text on a filled mark

COLOURS = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    ON_COLOUR: "--on-colour",
}
SPLITS = {"train": BLUE, "validation": ORANGE, "test": GREEN}

FONT = 9.0  # points
PADDING = 0.09  # inches


def figure(width: float, height: float) -> Figure:
    """An empty figure of ``width`` x ``height`` inches with a transparent ground."""
    layout = ConstrainedLayoutEngine(w_pad=PADDING, h_pad=PADDING)
    return Figure(figsize=(width, height), layout=layout, facecolor="none")


def bare(axes: Axes, *, grid: str = "y") -> None:
    """Take away frame and tick marks; leave a light grid along ``grid``: ``x``, ``y`` or none."""
    axes.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.tick_params(which="both", length=0, labelsize=FONT, labelcolor=MUTED)
    axes.set_axisbelow(True)
    if grid in ("x", "y"):
        axes.grid(axis="x" if grid == "x" else "y", color=LINE, linewidth=0.7)


def heading(axes: Axes, text: str) -> None:
    """A title at the upper left of the axes."""
    # parse_math=False wherever a name is drawn: between two dollar signs matplotlib would set it as a formula, or fail.
    axes.set_title(text, loc="left", fontsize=FONT + 2, fontweight="bold", color=INK, parse_math=False)


def label(text: str, limit: int = 28) -> str:
    """``text`` fit to be drawn: one line, printable, at most ``limit`` characters, the middle left out."""
    # Control characters are no valid XML, and an SVG with one is not shown at all.
    clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    if len(clean) <= limit:
        return clean
    # The middle goes, since names of classes often differ at their ends only.
    head = (limit - 1) // 2
    return f"{clean[:head]}\N{HORIZONTAL ELLIPSIS}{clean[len(clean) - (limit - 1 - head) :]}"
