"""Takes .npy as well, which TensorFlow Serving does not, and answers with the class alone."""

import io
import json

import numpy as np
import requests


def handler(data, context):
    if context.request_content_type == "application/x-npy":
        instances = np.load(io.BytesIO(data.read())).tolist()
    else:
        instances = json.loads(data.read().decode("utf-8"))
    response = requests.post(context.rest_uri, data=json.dumps({"instances": instances}))
    if response.status_code != 200:
        raise ValueError(response.content.decode("utf-8"))
    predictions = response.json()["predictions"]
    return json.dumps([int(np.argmax(row)) for row in predictions]), "application/json"
