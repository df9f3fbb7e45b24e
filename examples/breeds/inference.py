"""The endpoint: a picture in, its breed out."""

import io
import json
import os

import network
import timm
import torch
from PIL import Image

JSON = "application/json"


def model_fn(model_dir):
    """The network as it was saved, and what its outputs are called."""
    with open(os.path.join(model_dir, "model.json")) as file:
        saved = json.load(file)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = timm.create_model(saved["network"], num_classes=len(saved["classes"]))
    model.load_state_dict(torch.load(os.path.join(model_dir, "model.pth"), map_location="cpu"))
    return {
        "network": model.to(device).eval(),
        "device": device,
        "classes": saved["classes"],
        "transform": network.pictures(saved["network"], saved["size"]),
    }


def input_fn(request_body, request_content_type):
    if request_content_type not in ("image/jpeg", "image/png", "application/x-image"):
        raise ValueError(f"pictures are image/jpeg or image/png, not {request_content_type}")
    return Image.open(io.BytesIO(request_body))


def predict_fn(image, model):
    with torch.no_grad():
        pixels = model["transform"](image).unsqueeze(0).to(model["device"])
        scores = model["network"](pixels).softmax(1)[0].tolist()
    return {name: scores[number] for number, name in enumerate(model["classes"])}


def output_fn(scores, accept):
    if accept not in (JSON, "*/*"):
        raise ValueError(f"answers are {JSON}, not {accept}")
    return json.dumps({"breed": max(scores, key=scores.get), "scores": scores}), JSON
