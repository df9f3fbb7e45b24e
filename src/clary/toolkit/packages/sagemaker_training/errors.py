"""The toolkit's exceptions."""

__all__ = ["ChannelDoesNotExistError", "ClientError", "ExecuteUserScriptError", "ImportModuleError"]


class ClientError(Exception):
    """An error of the user's, not of the framework's."""


class ImportModuleError(ClientError):
    """A module could not be imported."""


class ExecuteUserScriptError(ClientError):
    """A script ended with another exit code than 0."""


class ChannelDoesNotExistError(Exception):
    """There is no channel of this name."""

    def __init__(self, channel_name: str) -> None:
        super().__init__(f"Channel {channel_name} is not a valid channel")
