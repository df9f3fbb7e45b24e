"""What a report says of each task, one file a task, found by scanning this folder."""

from __future__ import annotations

from typing import Any

from clary.local.sections._base import Section
from clary.registry import Registry

__all__ = ["SECTIONS", "Section"]

SECTIONS: Registry[Section[Any]] = Registry("sections", __name__, "SECTION")
