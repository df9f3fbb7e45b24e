"""The toolkit's logger."""

import logging

__all__ = ["configure_logger", "get_logger"]


def get_logger() -> logging.Logger:
    """Named as the toolkit's is."""
    return logging.getLogger("sagemaker-inference")


def configure_logger(level: int = logging.INFO) -> None:
    """Have it print from ``level`` on."""
    logging.basicConfig()
    get_logger().setLevel(level)
