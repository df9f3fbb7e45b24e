"""The peer of the benchmarks of serving: LitServe with eager torch, as its documentation has it.

    python benchmarks/_litserve_peer.py PORT MODEL

MODEL is the folder of an artifact, which says the task. A classifier has timm's ResNet-50 with weights of its own; a
detector and a segmenter have the artifact's network and weights, and before and after it what their authors would
write: Pillow, torchvision's operators, Pillow.

With the settings that were fastest here: one worker a core, one thread each, no batching (ResNet-50: 17.3 requests/s;
one worker of two threads 14.2, with batches of four or eight 10 to 11).
"""

import base64
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import timm
import torch
from PIL import Image
from starlette.responses import Response
from torch import nn
from torchvision.ops import batched_nms
from torchvision.transforms import v2

from clary.vision.models.dilated import DilatedConvolution


class Api(litserve.LitAPI):  # type: ignore[misc]  # an untyped base
    """What the tasks share: everything happens in the worker, on one thread."""

    network: Any

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def setup(self, device: str) -> None:
        torch.set_num_threads(1)
        self.prepare(json.loads((self.folder / "manifest.json").read_text()))

    def prepare(self, manifest: dict[str, object]) -> None:
        """The artifact's network and weights."""
        from safetensors.torch import load_file

        from clary.vision.models import build

        self.network = build(manifest["network"])  # type: ignore[arg-type]
        self.network.load_state_dict(load_file(self.folder / "model.safetensors"))
        self.network.eval()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe would read an annotation as a form
        return Image.open(io.BytesIO(base64.b64decode(request["image_data"]))).convert("RGB")


class Classifier(Api):
    """Scores of timm's network."""

    def prepare(self, manifest: dict[str, object]) -> None:
        self.network = timm.create_model("resnet50", num_classes=len(manifest["labels"])).eval()  # type: ignore[arg-type]
        self.transform = v2.Compose(
            [
                v2.Resize(256),
                v2.CenterCrop(224),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def predict(self, image: Image.Image) -> torch.Tensor:
        with torch.inference_mode():
            scores: torch.Tensor = self.network(self.transform(image)[None]).softmax(dim=1)[0]
        return scores

    def encode_response(self, scores: torch.Tensor) -> list[float]:
        return scores.tolist()


class Detector(Api):
    """Rows of class, score and box, by SageMaker's rule: of the scores above 0.01 the best 400, then suppression."""

    SIDE, LEAST, MOST, OVERLAP = 300, 0.01, 400, 0.45

    def predict(self, image: Image.Image) -> torch.Tensor:
        pixels = np.array(image.resize((self.SIDE, self.SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0))
        with torch.inference_mode():
            boxes, scores = (outputs[0] for outputs in self.network(torch.from_numpy(pixels)[None]))
            flat = scores.flatten()
            found = torch.nonzero(flat > self.LEAST)[:, 0]
            best, order = flat[found].topk(min(self.MOST, len(found)))
            anchors, classes = found[order] // scores.shape[1], found[order] % scores.shape[1]
            kept = batched_nms(boxes[anchors], best, classes, self.OVERLAP)
            rows = torch.column_stack([classes[kept], best[kept], boxes[anchors[kept]]])
        return rows

    def encode_response(self, rows: torch.Tensor) -> dict[str, list[list[float]]]:
        return {"prediction": rows.tolist()}


class Segmenter(Api):
    """The class of every pixel as a PNG. A softmax would change nothing."""

    def prepare(self, manifest: dict[str, object]) -> None:
        """With PyTorch's own dilated convolutions: in eager fp32 ours are no faster."""
        super().prepare(manifest)
        for layer in list(self.network.modules()):
            for name, part in layer.named_children():
                if isinstance(part, DilatedConvolution):
                    setattr(layer, name, _plain(part))

    def predict(self, image: Image.Image) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = self.network.segmenter(torch.from_numpy(np.array(image))[None])
            classes = logits[0].argmax(dim=0).to(torch.uint8)
        return classes

    def encode_response(self, classes: torch.Tensor) -> Response:
        stream = io.BytesIO()
        Image.fromarray(classes.numpy()).save(stream, "PNG", compress_level=1)
        return Response(stream.getvalue(), media_type="image/png")


def _plain(ours: DilatedConvolution) -> nn.Conv2d:
    rate = int(ours.dilation[0])
    plain = nn.Conv2d(ours.in_channels, ours.out_channels, 3, padding=rate, dilation=rate, bias=ours.bias is not None)
    plain.load_state_dict(ours.state_dict())
    return plain


APIS = {"classification": Classifier, "detection": Detector, "segmentation": Segmenter}

if __name__ == "__main__":
    model = Path(sys.argv[2])
    api = APIS[json.loads((model / "manifest.json").read_text())["task"]](model)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0)))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
