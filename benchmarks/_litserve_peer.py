"""The peer of serve_classification.py: LitServe with eager torch, as its documentation has it.

python benchmarks/_litserve_peer.py PORT CLASSES
"""

import base64
import io
import os
import sys

import litserve
import timm
import torch
from PIL import Image
from torchvision.transforms import v2


class Api(litserve.LitAPI):  # type: ignore[misc]  # an untyped base
    """Decodes, transforms and predicts in the worker."""

    def setup(self, device: str) -> None:
        self.network = timm.create_model("resnet50", num_classes=int(sys.argv[2])).eval()
        self.transform = v2.Compose(
            [
                v2.Resize(256),
                v2.CenterCrop(224),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
            ]
        )

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe would read an annotation as a form
        data = base64.b64decode(request["image_data"])
        return self.transform(Image.open(io.BytesIO(data)).convert("RGB"))

    def predict(self, picture: torch.Tensor) -> torch.Tensor:
        batch = picture if picture.ndim == 4 else picture[None]
        with torch.inference_mode():
            scores: torch.Tensor = self.network(batch).softmax(dim=1)
        return scores if picture.ndim == 4 else scores[0]

    def encode_response(self, scores: torch.Tensor) -> list[float]:
        return scores.tolist()


if __name__ == "__main__":
    settings = {}
    if os.environ.get("BATCH"):
        settings = {"max_batch_size": int(os.environ["BATCH"]), "batch_timeout": float(os.environ["WAIT"])}
    server = litserve.LitServer(Api(**settings), accelerator="cpu", workers_per_device=int(os.environ.get("W", "1")))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
