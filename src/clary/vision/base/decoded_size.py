"""At which size pictures are decoded for training, as hyperparameters say it: plain data, of which a check is told as
well as a loader, so that no picture is decoded twice."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DecodedSize"]


@dataclass(frozen=True, slots=True)
class DecodedSize:
    """A JPEG is decoded at a fraction of its size as long as both sides stay ``at_least`` pixels; then its shorter side
    becomes ``resize`` pixels, or stays, where that is None. Of one picture equal sizes give equal pixels."""

    at_least: int
    resize: int | None = None

    @classmethod
    def of(cls, resize: int | None, at_least: int) -> DecodedSize:
        """With ``at_least`` no smaller than ``resize``: else a picture that is larger would be enlarged."""
        return cls(max(resize or 0, at_least), resize)
