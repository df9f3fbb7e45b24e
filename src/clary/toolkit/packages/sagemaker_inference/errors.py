"""The toolkit's exceptions. Source: sagemaker-inference 1.10.1, errors.py."""

from typing import Any

__all__ = ["BaseInferenceToolkitError", "GenericInferenceToolkitError", "UnsupportedFormatError"]


class BaseInferenceToolkitError(Exception):
    """An error that is answered with a status of its own."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        self.status_code, self.message, self.phrase = status_code, message, phrase
        super().__init__(status_code, message, phrase)


class UnsupportedFormatError(Exception):
    """A media type that there is no encoder or decoder for."""

    def __init__(self, content_type: Any, **kwargs: Any) -> None:
        self._message = f"Content type {content_type} is not supported by this framework."
        super().__init__(self._message, **kwargs)


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """The one that scripts raise."""

    def __init__(self, status_code: int, message: str = "", phrase: str = "") -> None:
        super().__init__(status_code, message or "Invalid Request", phrase or message)
