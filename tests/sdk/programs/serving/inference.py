"""Serving functions as public notebooks have them: pictures or rows in, scores out."""

import io
import json
import logging
import os
import sys

import numpy as np
import torch
from PIL import Image

logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.StreamHandler(sys.stdout))

JSON_CONTENT_TYPE = "application/json"
JPEG_CONTENT_TYPE = "image/jpeg"


def model_fn(model_dir):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logger.info("Loading the model.")
    with open(os.path.join(model_dir, "model.pt"), "rb") as f:
        model = torch.jit.load(f)
    return model.to(device).eval()


def input_fn(request_body, content_type=JPEG_CONTENT_TYPE):
    logger.info("Deserializing the input data.")
    if content_type == JPEG_CONTENT_TYPE:
        image = Image.open(io.BytesIO(request_body)).convert("RGB")
        return torch.tensor(np.asarray(image).mean((0, 1)) / 255, dtype=torch.float32)[None]
    if content_type == JSON_CONTENT_TYPE:
        return torch.tensor(json.loads(request_body)["rows"], dtype=torch.float32)
    raise Exception("Requested unsupported ContentType in content_type: " + content_type)


def predict_fn(input_data, model):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.no_grad():
        return torch.softmax(model(input_data.to(device)), 1)


def output_fn(prediction, accept=JSON_CONTENT_TYPE):
    if accept == JSON_CONTENT_TYPE:
        return json.dumps(prediction.cpu().numpy().tolist()), accept
    raise Exception("Requested unsupported ContentType in Accept: " + accept)
