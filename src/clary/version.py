"""Which Clary this is. The build reads it here, and so does every part that leaves its mark in a file or an answer:
low down, so that nobody has to import the whole package's face for it."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
