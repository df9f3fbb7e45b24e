"""Options of the commands that run a model."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["EngineName", "PrecisionName"]

EngineName = Annotated[str, typer.Option("--engine", help="openvino, onnxruntime, torch, or auto.")]
PrecisionName = Annotated[
    str,
    typer.Option(
        "--precision",
        help="auto or fp32: as eager torch computes. auto takes bf16 where the processor is faster with it; then two "
        "classes that score alike may change places.",
        envvar="SAGEMAKER_MODEL_PRECISION",
    ),
]
