"""The variables SM_* of a training script, as SageMaker's training toolkit sets them.

Source: sagemaker-training 5.1.4, environment.py; what real jobs print as "Training Env".
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from clary.toolkit.hyperparameters import Hyperparameters, arguments, variable_text
from clary.vision.base.cores import cores
from clary.vision.base.jobdir import JobDir

__all__ = ["TrainingEnvironment", "count_gpus", "module_name"]

LONGEST_PROBE = 20.0  # seconds; nvidia-smi of a sleeping driver takes some


@dataclass(frozen=True)
class TrainingEnvironment:
    """What a script is told of its job. ``opt_ml`` is how the script sees the job's tree, ``code`` its source there.

    ``resources`` and ``channels`` are what resourceconfig.json and inputdataconfig.json say.
    """

    job_name: str
    hyperparameters: Hyperparameters
    resources: Mapping[str, Any]
    channels: Mapping[str, Any]
    opt_ml: Path
    framework_module: str = ""
    num_gpus: int = 0

    @property
    def code(self) -> Path:
        return self.opt_ml / "code"

    @property
    def user_arguments(self) -> list[str]:
        return arguments(self.hyperparameters.user)

    @property
    def hosts(self) -> list[str]:
        return list(self.resources["hosts"])

    @cached_property
    def values(self) -> dict[str, Any]:
        """The object that SM_TRAINING_ENV holds, and the job's log shows."""
        hosts, current = self.hosts, self.resources["current_host"]
        group = self.resources.get("current_group_name", "homogeneousCluster")
        groups = self.resources.get("instance_groups", [])
        by_name = {one["instance_group_name"]: one for one in groups}
        distributed = self._distribution_groups()
        program = self.hyperparameters.program
        job = JobDir(self.opt_ml)
        return {
            "additional_framework_parameters": dict(self.hyperparameters.framework),
            "channel_input_dirs": {name: str(job.data / name) for name in self.channels},
            "current_host": current,
            "current_instance_group": group,
            "current_instance_group_hosts": by_name.get(group, {}).get("hosts", hosts),
            "current_instance_type": self.resources.get("current_instance_type", "local"),
            "distribution_hosts": [host for name in distributed for host in by_name.get(name, {}).get("hosts", ())],
            "distribution_instance_groups": distributed,
            "framework_module": self.framework_module or None,
            "hosts": hosts,
            "hyperparameters": dict(self.hyperparameters.user),
            "input_config_dir": str(job.config),
            "input_data_config": dict(self.channels),
            "input_dir": str(job.root / "input"),
            "instance_groups": list(by_name),
            "instance_groups_dict": by_name,
            "is_hetero": len(groups) > 1,
            "is_master": current == hosts[0],
            "is_modelparallel_enabled": None,
            "is_smddpmprun_installed": False,
            "is_smddprun_installed": False,
            "job_name": self.job_name,
            "log_level": self.hyperparameters.log_level,
            "master_hostname": hosts[0],
            "model_dir": str(job.model),
            "module_dir": self.hyperparameters.submit_directory,
            "module_name": module_name(program),
            "network_interface_name": self.resources.get("network_interface_name", "eth0"),
            "num_cpus": cores(),
            "num_gpus": self.num_gpus,
            "num_neurons": 0,
            "output_data_dir": str(job.output / "data"),
            "output_dir": str(job.output),
            "output_intermediate_dir": str(job.output / "intermediate"),
            "resource_config": dict(self.resources),
            "topology": self.resources.get("topology"),
            "user_entry_point": program,
        }

    @cached_property
    def variables(self) -> dict[str, str]:
        """All of the script's variables that the toolkit makes, SM_* and the few others."""
        told = self.values
        # Under these names and no others: SM_HPS and SM_FRAMEWORK_PARAMS are called otherwise in the object.
        named = {name: told[name] for name in _ALONE}
        named |= {
            "hps": told["hyperparameters"],
            "framework_params": told["additional_framework_parameters"],
            "channels": sorted(self.channels),
            "user_args": self.user_arguments,
            "training_env": told,
            **{f"hp_{name}": value for name, value in self.hyperparameters.user.items()},
            **{f"channel_{name}": path for name, path in told["channel_input_dirs"].items()},
        }
        if told["topology"]:
            named["topology"] = told["topology"]
        # Dots and dashes stay, as in SM_CHANNEL_MY-CHANNEL: no shell sets such a name, and execve takes it.
        made = {f"SM_{name.upper()}": variable_text(value) for name, value in named.items()}
        return made | {"CURRENT_HOST": told["current_host"], "SAGEMAKER_JOB_NAME": self.job_name}

    def _distribution_groups(self) -> list[str]:
        found = self.hyperparameters.framework.get("sagemaker_distribution_instance_groups")
        return found if isinstance(found, list) else []


_ALONE = (
    "current_host",
    "current_instance_group",
    "current_instance_group_hosts",
    "current_instance_type",
    "distribution_instance_groups",
    "framework_module",
    "hosts",
    "input_config_dir",
    "input_data_config",
    "input_dir",
    "instance_groups",
    "instance_groups_dict",
    "is_hetero",
    "log_level",
    "model_dir",
    "module_dir",
    "module_name",
    "network_interface_name",
    "num_cpus",
    "num_gpus",
    "num_neurons",
    "output_data_dir",
    "output_dir",
    "output_intermediate_dir",
    "resource_config",
    "user_entry_point",
)


def module_name(program: str) -> str:
    """``train`` of ``train.py``; any other entry point as it is."""
    return program.removesuffix(".py")


def count_gpus() -> int:
    """The GPUs that ``nvidia-smi --list-gpus`` names, 0 where it is not there."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    try:
        listed = subprocess.run([tool, "--list-gpus"], capture_output=True, text=True, timeout=LONGEST_PROBE)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return 0 if hidden else sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
