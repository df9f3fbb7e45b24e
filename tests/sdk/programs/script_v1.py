"""A script of one's own with SDK v1's PyTorch estimator: as a job, and in local mode on folders beside the program."""

import os
import shutil
import sys

import sagemaker
from sagemaker.local import LocalSession
from sagemaker.pytorch import PyTorch

shutil.copytree(os.path.join(sys.argv[1], "train"), "train")
session = sagemaker.Session()
words = {
    "entry_point": "train.py",
    "source_dir": os.path.join(os.path.dirname(os.path.abspath(__file__)), "script"),
    "role": sagemaker.get_execution_role(),
    "framework_version": "1.5.0",
    "train_instance_count": 1,
    "hyperparameters": {"epochs": 60, "lr": 0.05, "nesterov": True, "crop": [1, 2]},
}
estimator = PyTorch(train_instance_type="ml.p2.xlarge", sagemaker_session=session, **words)
estimator.fit({"training": session.upload_data("train", key_prefix="script-v1/train")})
print("model", estimator.model_data)

local_session = LocalSession()
local_session.config = {"local": {"local_code": True}}
local = PyTorch(train_instance_type="local", output_path="file://out", sagemaker_session=local_session, **words)
local.fit({"training": "file://train"})
print("in local mode", local.model_data, os.listdir("out"))
