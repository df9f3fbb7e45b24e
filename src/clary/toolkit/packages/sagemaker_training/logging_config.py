"""The toolkit's logger, which some scripts write to."""

import logging

__all__ = ["configure_logger", "get_logger"]


def get_logger() -> logging.Logger:
    return logging.getLogger("sagemaker-training-toolkit")


def configure_logger(level: int, log_format: str = "%(asctime)s %(name)-12s %(levelname)-8s %(message)s") -> None:
    logging.basicConfig(format=log_format, level=level)
