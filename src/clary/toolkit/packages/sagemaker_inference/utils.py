"""Small helpers of the toolkit. Source: sagemaker-inference 1.10.1, utils.py."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["parse_accept", "read_file", "remove_crlf", "retrieve_content_type_header", "write_file"]


def read_file(path: str, mode: str = "r") -> Any:
    """The whole file."""
    with open(path, mode) as file:
        return file.read()


def write_file(path: str, data: Any, mode: str = "w") -> None:
    """Write the whole file."""
    with open(path, mode) as file:
        file.write(data)


def retrieve_content_type_header(request_property: Mapping[str, Any]) -> Any:
    """The content type of a request's headers, whatever their case; None where there is none."""
    return next((value for name, value in request_property.items() if name.lower() == "content-type"), None)


def parse_accept(accept: str) -> list[str]:
    """The media types of an Accept header, without parameters, the first wanted most."""
    return [one.partition(";")[0].strip() for one in accept.split(",")]


def remove_crlf(illegal_string: str) -> str:
    """The text with spaces for line ends, as a status line must be."""
    return re.sub(r"[\r\n]+", " ", illegal_string)
