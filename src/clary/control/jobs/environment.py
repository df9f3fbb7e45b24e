"""The environment of a job's program: the whole of it, since nothing of the gateway's is inherited unasked.

It is in two parts until the program starts: the platform's, under which everything of ours runs that comes before, and
the request's, which a user's own program sees in full and nobody else does.
"""

from __future__ import annotations

from clary.control.jobs.launch import Algorithm, Launch
from clary.control.platform_environment import platform_environment
from clary.control.request_environment import for_our_program

__all__ = ["platform_environment", "platform_variables", "program_variables"]


def program_variables(launch: Launch) -> dict[str, str]:
    """All variables of a launch's program, to be set only once it is the next thing that runs.

    Those of the request stand over the platform's, as on SageMaker, where Environment is handed on verbatim; a program
    of ours gets what ``control.request_environment`` leaves of them. Where there is no mount namespace the place of
    the tree is the platform's word in any case.
    """
    # An entry that runs the user's own file later (script mode) is a program of ours as well: it would take
    # ``launch.given`` from launch.json and give all of it to that file's process.
    given = for_our_program(launch.given)[0] if isinstance(launch.program, Algorithm) else launch.given
    return {**launch.environment, **given, **_place(launch)}


def platform_variables(launch: Launch) -> dict[str, str]:
    """The variables under which everything of ours runs before the program."""
    return {**launch.environment, **_place(launch)}


def _place(launch: Launch) -> dict[str, str]:
    return {} if launch.namespace else {"SAGEMAKER_BASE_DIR": str(launch.opt_ml)}
