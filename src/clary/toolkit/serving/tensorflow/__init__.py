"""TensorFlow's serving image: SavedModels that answer as TensorFlow Serving does by REST, and inference.py before it.

    bodies.py        a request's body, in any of the image's types -> the JSON document of the REST API
    rest_api.py      a path and a document -> status and JSON, in TensorFlow Serving's words
    tensors.py       JSON values <-> arrays
    saved_model.py   a folder -> signatures that can be called
    layout.py        which folders of the model data are models, and their versions
    keras_files.py   .keras and .h5 -> a SavedModel
    handlers.py      inference.py: handler, or input_handler and output_handler
    loopback.py      the REST API for what inference.py asks of it by HTTP

Source: the image's own serve.py, python_service.py, tfs_utils.py and tensorflow-serving.js; TensorFlow Serving 2.x,
json_tensor.cc, http_rest_api_handler.cc, predict_util.cc, classifier.cc, regressor.cc.
"""

from clary.toolkit.serving.tensorflow.service import load

__all__ = ["load"]
