"""Jobs with real processes: monitors, shell scripts, pipes."""

from __future__ import annotations

import pytest


@pytest.fixture
def world(local_world):
    """A world whose image is a shell script, ``world.program``."""
    return local_world
