"""Creating a job of any kind: name, checks and defaults, record, queue. The API does it, and jobs that make jobs do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from clary.control.jobs import trial_components
from clary.control.jobs.kind import CreationContext, JobKind
from clary.control.store.records import Record
from clary.control.store.unique import unique

__all__ = ["create"]


async def create(
    kind: JobKind,
    request: Mapping[str, Any],
    context: CreationContext,
    *,
    region: str,
    tags: Mapping[str, str] | None = None,
) -> Record:
    """Check ``request``, keep the job and hand it to the queue; its record.

    Raises ValidationException for what could never run (an image, a channel or a bucket that is not there),
    ServiceError ResourceNotFound for an experiment or a trial that is not there, and the kind's own refusal of a name
    that was used.
    """
    name = str(request[kind.name_member])
    arn = kind.arn(context.settings, name, region)
    with unique(context.store, kind.name, name, arn, refusal=kind.taken(arn)):
        trial_components.check(request.get("ExperimentConfig") or {}, context.store, context.settings, region)
        # Buckets are listed on the way. The name is kept meanwhile, so that of two requests one is refused.
        body = await asyncio.to_thread(kind.new_body, request, context, arn=arn, region=region)
        record = context.store.create(
            kind.name, name, arn=arn, body=body, status=kind.status.word(body), tags=dict(tags or {})
        )
    # Now, because programs look for it as soon as they have created the job; the next gateway makes up for a kill.
    trial_components.begin(kind, record, context.settings, context.store)
    # After the record: a gateway killed between the two finds the job in the store and queues it when it starts.
    context.jobs.submit(kind.name, name)
    return record
