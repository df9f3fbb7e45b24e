"""What stands in for functions that inference.py has not. Source: sagemaker-inference 1.10.1."""

from typing import Any

from sagemaker_inference import decoder, encoder, errors, utils

__all__ = ["DefaultInferenceHandler"]


class DefaultInferenceHandler:
    """For a framework that is not known: a model and its prediction are the user's."""

    def default_model_fn(self, model_dir: str, context: Any = None) -> Any:
        raise NotImplementedError("Please provide a model_fn implementation: def model_fn(model_dir)")

    def default_input_fn(self, input_data: Any, content_type: str, context: Any = None) -> Any:
        """An array of a JSON, CSV or NPY body."""
        return decoder.decode(input_data, content_type)

    def default_predict_fn(self, data: Any, model: Any, context: Any = None) -> Any:
        raise NotImplementedError("Please provide a predict_fn implementation: def predict_fn(data, model)")

    def default_output_fn(self, prediction: Any, accept: str, context: Any = None) -> Any:
        """The body and its type, the first of ``accept`` that there is an encoder for."""
        for content_type in utils.parse_accept(accept):
            if content_type in encoder.SUPPORTED_CONTENT_TYPES:
                return encoder.encode(prediction, content_type), content_type
        raise errors.UnsupportedFormatError(accept)
