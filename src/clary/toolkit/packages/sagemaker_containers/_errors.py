"""The exceptions under their former name."""

from sagemaker_inference.errors import UnsupportedFormatError
from sagemaker_training.errors import ClientError, ExecuteUserScriptError, ImportModuleError

__all__ = ["ClientError", "ExecuteUserScriptError", "ImportModuleError", "UnsupportedFormatError"]
