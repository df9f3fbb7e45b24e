"""Who the caller is: always the one role of this platform, as a session of it.

The SDK turns an assumed-role ARN into the role's own; any other kind of identity it refuses.
"""

from __future__ import annotations

from clary.control.platform import Platform
from clary.control.settings import ROLE
from clary.control.wire.operation import Answer, Request, operation

__all__: list[str] = []

SESSION = "clary"


@operation("sts", "GetCallerIdentity")
def get_caller_identity(platform: Platform, request: Request) -> Answer:
    account = platform.settings.account
    return {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{ROLE}/{SESSION}",
        "UserId": f"AROA{ROLE.upper()}:{SESSION}",
        "Account": account,
    }
