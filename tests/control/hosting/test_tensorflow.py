"""Endpoints of TensorFlow's image that cannot be: what becomes their FailureReason. tests/sdk has those that can."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.toolkit import tensorflow_environment

pytestmark = pytest.mark.slow  # each starts a worker

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.8-cpu"


def archive(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"model.pth": b"", "code/inference.py": b""},
            "no SavedModel bundles found!; save it as <name>/<number>/saved_model.pb; it holds code/inference.py",
        ),
        (
            {"m/1/saved_model.pb": b"", "code/inference.py": b"import json\n\nraise ValueError('no words')\n"},
            "ValueError: no words",
        ),
        (
            # What lies in code/lib is all that there is, as in the image: nothing is installed.
            {
                "code/lib/words.py": b"raise ValueError('no words')\n",
                "code/requirements.txt": b"nothing_of_this_name==3.1\n",
                "m/1/saved_model.pb": b"",
                "code/inference.py": b"import words\n",
            },
            "ValueError: no words",
        ),
        (
            {"m/1/saved_model.pb": b"", "code/inference.py": b"from tensorflow_serving.apis import predict_pb2\n"},
            "TensorFlow Serving answers here by REST alone, and has no gRPC; ask context.rest_uri by requests.post",
        ),
    ],
)
def test_why_it_failed(make_rig, monkeypatch, tmp_path, files, reason):
    monkeypatch.setenv("CLARY_ENVIRONMENTS", str(tensorflow_environment.require()))
    rig = make_rig()

    async def work():
        rig.model("m", archive(tmp_path / "model.tar.gz", files), IMAGE)
        async with rig.running():
            rig.create("e", rig.config("c", "m"))
            record = await rig.settled("e")
            assert record.status == "Failed"
            assert reason in record.body["FailureReason"]
            assert any(reason in line for line in rig.log("e"))

    asyncio.run(work())
