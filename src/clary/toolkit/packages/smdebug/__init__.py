"""Amazon SageMaker Debugger, as scripts import it: it can be called, and saves nothing. Clary's own.

Scripts of AWS's examples import it without a guard; they are to train here all the same.
"""

from __future__ import annotations

import sys

from smdebug.nothing import Hook, Nothing, modes

__all__ = ["Hook", "Nothing", "modes"]
__version__ = "1.0.34"

sys.stderr.write("smdebug saves nothing here: what it is told goes nowhere\n")
