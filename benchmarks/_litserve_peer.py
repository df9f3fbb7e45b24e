"""The peer of serve_classification.py: LitServe with eager torch, as its documentation has it.

    python benchmarks/_litserve_peer.py PORT CLASSES

With the settings that were fastest here: one worker a core, one thread each, no batching (17.3 requests/s; one worker
of two threads 14.2, with batches of four or eight 10 to 11).
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
        torch.set_num_threads(1)
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
        with torch.inference_mode():
            scores: torch.Tensor = self.network(picture[None]).softmax(dim=1)[0]
        return scores

    def encode_response(self, scores: torch.Tensor) -> list[float]:
        return scores.tolist()


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0)))
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
