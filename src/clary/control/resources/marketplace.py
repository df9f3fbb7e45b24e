"""What other accounts have: programs name packages and algorithms of AWS Marketplace, and those are not here."""

from __future__ import annotations

from clary.control.settings import Settings

__all__ = ["remark"]


def remark(arn: str, settings: Settings) -> str:
    """What to say of an ARN of another account's, after the refusal; empty for any other."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[4] in ("", settings.account):
        return ""
    return (
        f"; it belongs to the account {parts[4]}, as what AWS Marketplace sells does: such a model runs on AWS only. "
        "Train one here, or register your own with CreateModelPackage"
    )
