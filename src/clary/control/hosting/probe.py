"""The picture a new worker has to answer for before clients reach it."""

from __future__ import annotations

import base64

__all__ = ["CONTENT_TYPE", "IMAGE"]

CONTENT_TYPE = "image/jpeg"

IMAGE = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABQODxIPDRQSEBIXFRQYHjIhHhwcHj0sLiQySUBMS0dARkVQWnNiUFVtVkVGZIhlbXd7"
    "gYKBTmCNl4x9lnN+gXz/2wBDARUXFx4aHjshITt8U0ZTfHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8fHx8"
    "fHx8fHx8fHz/wAARCAAgACADASIAAhEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAABAUABv/EACoQAAECBQEHBAMAAAAAAAAAAAEA"
    "AgMEERNhMQUGEhQVIuEjVKOyMjNB/8QAFgEBAQEAAAAAAAAAAAAAAAAAAAMB/8QAHhEAAgEEAwEAAAAAAAAAAAAAAAECAwQREzEy"
    "oVL/2gAMAwEAAhEDEQA/AJ9nC1nCo2cJUns2+eKJVsPGpWyulFZZXWRLOFrOFem9liE3jgkuaPyB1GUKzhI3SksoawfXR7b5PCTB"
    "3otQwzk60/t3wueTIc5ELfVnpprq6N7h9gk7enjr6yW2b5ZXfvVxsc3k6VFP2+ETro9t8nhDiTkQN9KemnOro7tH2KI5xc4ucSXE"
    "1JOpSFtT+fWNs1wz/9k="
)
"""A baseline JPEG of 32 x 32 pixels: a sunset, drawn. The gateway holds no library that could draw one."""
