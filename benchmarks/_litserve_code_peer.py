"""The peer of serve_code.py: LitServe around the same model_fn, input_fn and predict_fn.

    python benchmarks/_litserve_code_peer.py PORT MODEL

With the settings that were fastest for it in ``_litserve_peer.py``: one worker a core, one thread each, no batching.
The body comes as its documentation has pictures: in base64, in JSON.
"""

import base64
import os
import sys
from pathlib import Path
from typing import Any

import litserve
import torch


class Api(litserve.LitAPI):  # type: ignore[misc]  # an untyped base
    """Everything happens in the worker, on one thread."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def setup(self, device: str) -> None:
        torch.set_num_threads(1)
        sys.path.insert(0, str(self.folder / "code"))
        import inference  # type: ignore[import-not-found]  # the benchmark's own

        self.code: Any = inference
        self.model = inference.model_fn(str(self.folder))

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # LitServe would read an annotation as a form
        return self.code.input_fn(base64.b64decode(request["body"]), "application/octet-stream")

    def predict(self, data: Any) -> Any:
        return self.code.predict_fn(data, self.model)

    def encode_response(self, prediction: Any) -> Any:
        return self.code.plain(prediction)


if __name__ == "__main__":
    server = litserve.LitServer(
        Api(Path(sys.argv[2])), accelerator="cpu", workers_per_device=len(os.sched_getaffinity(0))
    )
    server.run(host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", generate_client_file=False)
