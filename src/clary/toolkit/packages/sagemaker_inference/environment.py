"""What the container's variables say. Source: sagemaker-inference 1.10.1, environment.py."""

import os

from sagemaker_inference import content_types

__all__ = ["Environment", "base_dir", "code_dir", "model_dir"]

base_dir = os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml")
model_dir = os.path.join(base_dir, "model")
code_dir = os.path.join(model_dir, "code")


class Environment:
    """The variables as attributes."""

    def __init__(self) -> None:
        given = os.environ
        self.module_name = given.get("SAGEMAKER_PROGRAM", "inference.py").removesuffix(".py")
        self.model_server_timeout = int(given.get("SAGEMAKER_MODEL_SERVER_TIMEOUT", "60"))
        self.model_server_workers = given.get("SAGEMAKER_MODEL_SERVER_WORKERS")
        self.startup_timeout = int(given.get("SAGEMAKER_STARTUP_TIMEOUT", "600"))
        self.default_accept = given.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", content_types.JSON)
        self.inference_http_port = self.http_port = given.get("SAGEMAKER_BIND_TO_PORT", "8080")
        self.safe_port_range = given.get("SAGEMAKER_SAFE_PORT_RANGE")
