"""Where a job is, for jobs of every kind: the stages of the one life cycle, and how a kind tells them.

    Starting -> Pending -> Starting -> Downloading -> Running -> Uploading -> Completed | Failed
                                   any of them -> Stopping -> Uploading -> Stopped | MaxRuntimeExceeded
    Running -> Interrupted -> Restarting -> Running          (the machine or the launcher lost it)

A body is the ``body`` of a job's record; nothing here changes the one it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["ENDINGS", "WORDS", "JobStatus", "Stage"]

Body = dict[str, Any]


class Stage(StrEnum):
    """The life cycle's stages. The values are SecondaryStatus of a training job but for RUNNING, its ``Training``."""

    STARTING = "Starting"
    PENDING = "Pending"
    DOWNLOADING = "Downloading"
    RUNNING = "Running"
    UPLOADING = "Uploading"
    INTERRUPTED = "Interrupted"
    RESTARTING = "Restarting"
    STOPPING = "Stopping"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"
    OUT_OF_TIME = "MaxRuntimeExceeded"


ENDINGS = frozenset({Stage.COMPLETED, Stage.FAILED, Stage.STOPPED, Stage.OUT_OF_TIME})

# The status word of each stage. Source: TrainingJobStatus, ProcessingJobStatus, TransformJobStatus and
# HyperParameterTuningJobStatus of the API reference, which agree in these five.
_WORDS = dict.fromkeys(Stage, "InProgress") | {
    Stage.STOPPING: "Stopping",
    Stage.COMPLETED: "Completed",
    Stage.FAILED: "Failed",
    Stage.STOPPED: "Stopped",
    Stage.OUT_OF_TIME: "Stopped",
}
WORDS: Mapping[Stage, str] = _WORDS


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How the jobs of a kind say where they are: a status member, and the times of start and end.

    A kind that tells more (transitions, a second status) overrides ``advance``. ``start_member`` is when the job began
    to work, which those that end in the queue never do; empty names are left out.
    """

    member: str  # ProcessingJobStatus, say
    start_member: str = ""
    end_member: str = ""
    words: Mapping[Stage, str] = field(default_factory=lambda: WORDS)

    @property
    def open(self) -> frozenset[str]:
        """The words of jobs that have not ended."""
        return frozenset(self.words.values()) - self._ended

    @property
    def _ended(self) -> frozenset[str]:
        return frozenset(self.words[stage] for stage in ENDINGS)

    def word(self, body: Mapping[str, Any]) -> str:
        """The status of the job, as its record says it; empty for a record that does not."""
        return str(body.get(self.member, ""))

    def ended(self, body: Mapping[str, Any]) -> bool:
        """Whether nothing changes the job any more."""
        return self.word(body) in self._ended

    def stopping(self, body: Mapping[str, Any]) -> bool:
        """Whether the job was asked to stop and has not ended."""
        return self.word(body) == self.words[Stage.STOPPING]

    def advance(self, body: Mapping[str, Any], stage: Stage, message: str = "", now: float = 0.0) -> Body:
        """``body`` with the job in ``stage``; one that has ended stays as it is.

        ``message`` is for the user, where the kind has room for it; ``now`` in epoch seconds, never taken as earlier
        than what the body already says.
        """
        if self.ended(body):
            return dict(body)
        now = max(now, body.get("LastModifiedTime", 0.0))
        changed: Body = {**body, self.member: self.words[stage], "LastModifiedTime": now}
        if self.start_member and stage in (Stage.DOWNLOADING, Stage.RUNNING):
            changed.setdefault(self.start_member, now)
        if self.end_member and stage in ENDINGS:
            changed[self.end_member] = now
        return changed
