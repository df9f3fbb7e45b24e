"""The Environment of a request (a job's, a container's), and who may see it.

A user's own program gets all of it, verbatim, as on SageMaker; nothing that runs before it sees any. What we run for
the user, a built-in algorithm or an endpoint's worker, is a program of ours and gets the rest of what is withheld here:

- names that a loader, an interpreter, a shell, a tool or the platform itself acts on: LD_PRELOAD has code loaded,
  CLARY_PRECISION_CACHE says which file is written, SAGEMAKER_BASE_DIR where the job's tree is;
- names that, by their last word, say where something lies (TORCH_HOME, MPLCONFIGDIR, HF_HUB_CACHE): a relative one
  has files read or written wherever our program happens to stand;
- names by which a library writes down what it does (ONEDNN_JIT_DUMP, TORCH_TRACE), into the folder it stands in;
- values that name a file outside the job's own tree, whatever they are called.

By kind, not by name, as far as that goes: every library has variables for the files it reads, loads and writes, and
nobody has a list of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["for_our_program", "withheld_line"]

_NAMES = re.compile(
    # what is loaded into a process, and how it gets memory and names of hosts (ld.so(8), environ(7))
    r"LD_.*|DYLD_.*|GLIBC_.*|MALLOC_.*|JE_MALLOC.*|TCMALLOC.*|GCONV_PATH|LOCPATH|NLSPATH|TZDIR|HOSTALIASES|LOCALDOMAIN"
    r"|RES_.*|.*_INJECTION.*|.*_PRELOAD|OMP_TOOL.*"
    # interpreters, shells and tools
    r"|PYTHON.*|__PYVENV.*|VIRTUAL_ENV|CONDA_.*|PIP_.*|PERL.*|RUBY.*|NODE_.*|JAVA_.*|_JAVA_.*|JDK_.*"
    r"|ENV|BASH.*|SHELL.*|IFS|CDPATH|PS4|PROMPT_COMMAND|EDITOR|VISUAL|PAGER|GIT_.*|SSH_.*"
    # what other programs or modules a library runs
    r"|CC|CXX|(C|CXX|CPP|LD)FLAGS|COVERAGE_.*|MPLBACKEND"
    # who and where
    r"|PATH|HOME|USER|LOGNAME|PWD|OLDPWD|TMPDIR|TMP|TEMP|TEMPDIR|XDG_.*"
    # whom to trust, how to get there, where weights come from
    r"|HF_ENDPOINT|BOTO_CONFIG|OPENSSL_.*|SSL.*|REQUESTS_CA_BUNDLE|CURL_.*|(?i:(http|https|ftp|all|no)_proxy)"
    # torch.load of anything: its pickles are programs
    r"|TORCH_FORCE_.*"
    # the platform's own
    r"|CLARY_.*|SAGEMAKER_BASE_DIR|AWS_.*|S3_ENDPOINT_URL|TRAINING_JOB_(NAME|ARN)"
)
# Some of these are no places in some library; what is withheld in vain does our programs no harm.
_PLACES = re.compile(
    r".*(HOME|DIR(S|ECTORY|ECTORIES)?|PATHS?|FILES?|FILENAME|FOLDER|ROOT|CACHE)|(GCOV|GMON)_.*|.*SAN_OPTIONS",
    re.IGNORECASE,
)
_RECORDS = re.compile(
    r".*(DUMP|TRACE|PROFIL).*|TORCH_LOGS.*|KINETO_.*"
    # The compiler of PyTorch, which writes programs and their reports.
    r"|TORCH_?(COMPILE|INDUCTOR|DYNAMO)_.*",
    re.IGNORECASE,
)
# A path from the root or from a home, alone or as a part of a list or of a setting; not the slashes of an address.
_OUTSIDE = re.compile(r"(?:(?<![\w.:/-])|(?<=:)(?!//))[/~]|(?:^|/)\.\.(?:/|$)|\bfile:", re.IGNORECASE)


def for_our_program(given: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What of a request's Environment a program of ours gets, and the names of what it does not, sorted."""
    kinds = (_NAMES, _PLACES, _RECORDS)
    kept = {
        name: value
        for name, value in given.items()
        if not any(kind.fullmatch(name) for kind in kinds) and not _OUTSIDE.search(value)
    }
    return kept, tuple(sorted(given.keys() - kept.keys()))


def withheld_line(names: tuple[str, ...], program: str) -> str:
    """What the log says of names that are withheld from ``program``; to be said where there are any."""
    return (
        f"Environment: {', '.join(names)} withheld from {program}, a program of the platform's own: such variables act "
        "on its loader, its libraries or files outside the job"
    )
