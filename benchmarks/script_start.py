"""From CreateTrainingJob to the first line that the user's own script prints, as it stands in the job's log.

    python benchmarks/script_start.py [--rounds 5]

The script imports PyTorch before it prints, as scripts do. Cold is a platform without a warm process, a fresh
interpreter a job; warm one that has PyTorch loaded. The limit is the same script started by hand. Requirements are a
wheel made here, so that no network is measured: the first job with them makes a layer, the next ones find it.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from _bench import machine, memory_now, table
from botocore.exceptions import ClientError
from platform_speed import ROLE, client, platform

IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.1-cpu-py310"
LINE = "the first line"
SCRIPT = f"import torch\nprint({LINE!r}, torch.__version__, flush=True)\n"
USES_IT = f"import torch, benched\nprint({LINE!r}, benched.__name__, flush=True)\n"
GROUP = "/aws/sagemaker/TrainingJobs"
LOADED = 300  # MiB of a forkserver that has loaded the libraries
PATIENCE = 60.0  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(machine())
    with tempfile.TemporaryDirectory(prefix="clary-bench-") as name:
        scratch = Path(name)
        by_hand = [started_by_hand(scratch) for _ in range(rounds)]
        with platform(scratch / "cold", "--no-warm") as (_, url, _):
            bench = Bench(url, scratch)
            cold = [bench.first_line("plain") for _ in range(rounds)]
        with platform(scratch / "warm") as (pid, url, _):
            wait_for_libraries(pid)
            bench = Bench(url, scratch)
            warm = [bench.first_line("plain") for _ in range(rounds)]
            made = bench.first_line("requirements")
            # In turn: machines drift.
            pairs = [(bench.first_line("plain"), bench.first_line("requirements")) for _ in range(rounds)]
    show(by_hand, cold, warm, made, pairs)


def show(
    by_hand: list[float], cold: list[float], warm: list[float], made: float, pairs: list[tuple[float, float]]
) -> None:
    """Medians beside their goals; all in seconds."""
    without, again = zip(*pairs, strict=True)
    rows = [
        ("the script by hand (the limit of cold)", by_hand, ""),
        ("cold", cold, "4"),
        ("warm", warm, "1.5"),
        ("warm, in turn with the last line", without, ""),
        ("warm, the first with its requirements", [made], ""),
        ("warm, the next with the same", again, ""),
    ]
    table(
        ["CreateTrainingJob to the script's first line", "median s", "longest s", "goal under"],
        [(name, f"{statistics.median(found):.2f}", f"{max(found):.2f}", goal) for name, found, goal in rows],
    )
    more = statistics.median(with_them - bare for bare, with_them in pairs)
    print(f"requirements that are there already add {more:.2f} s (goal under 0.3)")


def started_by_hand(scratch: Path) -> float:
    """Seconds of a bare interpreter to the first line."""
    path = scratch / "train.py"
    path.write_text(SCRIPT)
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-u", path], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline().startswith(LINE)
        return time.perf_counter() - start


def wait_for_libraries(pid: int) -> None:
    """Until the warm process has loaded them."""
    end = time.monotonic() + PATIENCE
    while memory_now(pid).get("forkserver", 0) < LOADED:
        if time.monotonic() > end:
            sys.exit("the warm process has not loaded PyTorch")
        time.sleep(0.1)
    time.sleep(2)


class Bench:
    """Jobs on one platform, one after the other."""

    def __init__(self, url: str, scratch: Path) -> None:
        self._sagemaker, self._logs, s3 = (client(name, url) for name in ("sagemaker", "logs", "s3"))
        self._wheels, self._count = wheel(scratch / "wheels"), 0
        s3.create_bucket(Bucket="bench")
        s3.put_object(Bucket="bench", Key="plain.tar.gz", Body=archive({"train.py": SCRIPT}))
        with_them = archive({"train.py": USES_IT, "requirements.txt": "benched==1.0\n"})
        s3.put_object(Bucket="bench", Key="requirements.tar.gz", Body=with_them)

    def first_line(self, source: str) -> float:
        """Seconds from the call until the line can be read; the job has ended when this returns."""
        self._count += 1
        name = f"{source}-{self._count}"
        given = {"sagemaker_program": "train.py", "sagemaker_submit_directory": f"s3://bench/{source}.tar.gz"}
        start = time.perf_counter()
        self._sagemaker.create_training_job(
            TrainingJobName=name,
            RoleArn=ROLE,
            AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            HyperParameters={key: json.dumps(value) for key, value in given.items()},
            Environment={"PIP_FIND_LINKS": str(self._wheels), "PIP_NO_INDEX": "1"},
            OutputDataConfig={"S3OutputPath": "s3://bench/output"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )
        while not any(line.startswith(LINE) for line in self._log(name)):
            if time.perf_counter() - start > PATIENCE:
                sys.exit("\n".join([*self._log(name), str(self._describe(name).get("FailureReason"))]))
            time.sleep(0.005)
        seconds = time.perf_counter() - start
        while (status := self._describe(name)["TrainingJobStatus"]) == "InProgress":
            time.sleep(0.05)
        if status != "Completed":
            sys.exit(str(self._describe(name).get("FailureReason")))
        return seconds

    def _log(self, name: str) -> list[str]:
        with suppress(ClientError):  # there is no group before the first job
            found = self._logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")
            for stream in found["logStreams"]:
                where = {"logGroupName": GROUP, "logStreamName": stream["logStreamName"]}
                return [event["message"] for event in self._logs.get_log_events(**where, startFromHead=True)["events"]]
        return []

    def _describe(self, name: str) -> Any:
        return self._sagemaker.describe_training_job(TrainingJobName=name)


def archive(files: dict[str, str]) -> bytes:
    """A source as the SDK packs it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def wheel(folder: Path) -> Path:
    """``folder`` with a package of one empty module, ``benched``."""
    folder.mkdir(exist_ok=True)
    about = "benched-1.0.dist-info"
    files = {
        "benched.py": "",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: benched\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: benchmarks\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    sums = {name: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for name, text in files.items()}
    lines = [f"{name},sha256={sums[name].decode().rstrip('=')},{len(text)}" for name, text in files.items()]
    with zipfile.ZipFile(folder / "benched-1.0-py3-none-any.whl", "w") as made:
        for name, text in {**files, f"{about}/RECORD": "\n".join([*lines, f"{about}/RECORD,,"]) + "\n"}.items():
            made.writestr(name, text)
    return folder


if __name__ == "__main__":
    main()
