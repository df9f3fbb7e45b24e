"""A file system of a few megabytes that fills up while programs work, and has room again.

While it is full an answer says so (507, or a job's reason) or is right; what was acknowledged stays; and with room
again all goes on.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from tests.control import test_kill
from tests.storm import child, material
from tests.storm.kills import create_counting
from tests.storm.server import ENDED, Server
from tests.storm.weather import Tally

from clary.control import home as homes
from clary.control.jobs.launchers.local import namespace
from clary.errors import ClaryError
from clary.toolkit import mounts

SIZE = 48 << 20  # bytes of the file system
FLOODS = 5  # a round
SILENCE = 300.0
FREE = [0, 0, 4096, 20_000, 100_000, 1 << 20]  # bytes left when it is full
GROUP, STREAM = "/storm", "log"
IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1"
ROLE = "arn:aws:iam::000000000000:role/Storm"


class FullDisk:
    name = "disk"

    def absent(self) -> str:
        return "" if namespace.available() else "the kernel gives this user no file system of their own"

    def round(self, seed: int, folder: Path, tally: Tally) -> None:
        material.add_counts(folder / "site")
        # A process of its own enters a mount namespace of its own: nothing is mounted for anybody else.
        child.run(__name__, [str(seed), str(folder)], tally, errors=folder / "errors.txt", silence=SILENCE)


WEATHER = FullDisk()


# In the child


def main(seed: int, folder: Path) -> None:
    disk = folder / "disk"
    disk.mkdir()
    mounts.enter()
    mounts._mount("tmpfs", str(disk), "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, f"mode=755,size={SIZE}")
    told = Told()
    with Server(disk / "home", told, ["--no-warm"], logs=folder) as server:
        programs = Programs(server, random.Random(seed))
        programs.set_up()
        for flood in range(FLOODS):
            child.tell(on=f"flood {flood}")
            free = programs.dice.choice(FREE)
            _fill(disk, free)
            programs.all(f"with {free} bytes free", full=True)
            if programs.dice.random() < 0.4:
                _restart_full(server, disk)
            (disk / "ballast").unlink(missing_ok=True)
            programs.all("with room again", full=False)
            programs.check()
        programs.check_jobs()
        shutil.copytree(server.home / "jobs", folder / "jobs", symlinks=True)  # for who keeps the folder of a round


class Told(Tally):
    """What is found goes to the parent."""

    def find(self, what: str, detail: str = "") -> None:
        child.tell(found=what, detail=detail)


def _fill(disk: Path, free: int) -> None:
    """Take all room but ``free`` bytes, to a page of the file system."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        left = os.statvfs(disk)
        todo = left.f_bavail * left.f_frsize - free
        try:
            while todo > 0:
                todo -= file.write(bytes(min(todo, 1 << 20)))
        except OSError:  # somebody else took the rest
            return


def _restart_full(server: Server, disk: Path) -> None:
    """Kill the server while the disk is full: it comes up again, or says in one line why not."""
    os.kill(server.pid, signal.SIGKILL)
    test_kill.until(lambda: not homes.held(server.home))
    try:
        server.start()
    except ClaryError as error:
        if "space" not in str(error) and "full" not in str(error):
            child.tell(found=f"a start on a full disk says: {error}")
    except OSError as error:
        child.tell(found=f"a start on a full disk raises {error!r}")
    child.tell(tried="restarts on a full disk")
    (disk / "ballast").unlink(missing_ok=True)
    if not homes.held(server.home):
        server.start()


class Programs:
    """Calls of programs that store something, and what must be there after those that were acknowledged."""

    def __init__(self, server: Server, dice: random.Random) -> None:
        # Of one try: a client that tried a 500 again would hide it.
        self._s3, self._sagemaker, self._logs, self._metrics = (
            server.client(name, attempts=1) for name in ("s3", "sagemaker", "logs", "cloudwatch")
        )
        self._server, self.dice, self._count = server, dice, 0
        self._objects: dict[str, bytes] = {}
        self._events: set[str] = set()
        self._models: set[str] = set()
        self._jobs: list[str] = []

    def set_up(self) -> None:
        self._s3.create_bucket(Bucket="kill")
        test_kill.upload_images(self._s3, material.colour_jpeg)
        self._s3.put_object(Bucket="kill", Key="model.tar.gz", Body=b"a model")
        self._logs.create_log_group(logGroupName=GROUP)
        self._logs.create_log_stream(logGroupName=GROUP, logStreamName=STREAM)

    def all(self, when: str, *, full: bool) -> None:
        """Every call, in any order."""
        calls: list[Callable[[], None]] = [
            *(self.put_object, self.put_object, self.multipart, self.copy_object, self.delete_object, self.tag),
            *(self.put_log_events, self.put_metric_data, self.create_model, self.create_job, self.read),
            self.create_bucket,
        ]
        self.dice.shuffle(calls)
        for call in calls:
            name = call.__name__.strip("_")
            try:
                call()
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                said = f"{status} {error.response['Error']['Code']}: {error.response['Error']['Message']}"
                if not full or status != 507 or "space" not in said.lower():
                    # What varies stands in the detail: the same fault with another number of bytes is no other.
                    child.tell(found=f"{name} {'on a full disk' if full else when}: {said}", detail=when)
            except Exception as error:  # noqa: BLE001  # any is a find
                child.tell(found=f"{name} {when}: {type(error).__name__}: {error}")
            child.tell(tried="calls on a full disk" if full else "calls with room again")

    def put_object(self) -> None:
        key, body = f"objects/{self.dice.randrange(4)}", self.dice.randbytes(self.dice.choice([0, 10, 5_000, 300_000]))
        self._s3.put_object(Bucket="kill", Key=key, Body=body, Metadata={"a": "x" * self.dice.choice([1, 1900])})
        self._objects[key] = body

    def multipart(self) -> None:
        here, body = {"Bucket": "kill", "Key": "objects/parts"}, self.dice.randbytes(200_000)
        upload = self._s3.create_multipart_upload(**here)["UploadId"]
        try:
            etag = self._s3.upload_part(**here, UploadId=upload, PartNumber=1, Body=body)["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
            self._s3.complete_multipart_upload(**here, UploadId=upload, MultipartUpload=parts)
        except ClientError:
            self._s3.abort_multipart_upload(**here, UploadId=upload)
            raise
        self._objects[here["Key"]] = body

    def copy_object(self) -> None:
        self._s3.copy_object(Bucket="kill", Key="objects/copy", CopySource="kill/train/blue0.jpg")
        self._objects["objects/copy"] = material.colour_jpeg("blue", 0)

    def delete_object(self) -> None:
        key = self.dice.choice(sorted(self._objects) or ["objects/none"])
        self._s3.delete_object(Bucket="kill", Key=key)
        self._objects.pop(key, None)

    def tag(self) -> None:
        tags = [{"Key": "turn", "Value": str(self._count)}]
        self._s3.put_object_tagging(Bucket="kill", Key="model.tar.gz", Tagging={"TagSet": tags})

    def create_bucket(self) -> None:
        self._count += 1
        self._s3.create_bucket(Bucket=f"bucket-{self._count}")

    def put_log_events(self) -> None:
        self._count += 1
        line = f"{self._count} {'x' * self.dice.choice([0, 5000, 50_000])}"
        event = {"timestamp": int(time.time() * 1000), "message": line}
        self._logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=[event])
        self._events.add(line)

    def put_metric_data(self) -> None:
        data = [{"MetricName": f"m{number}", "Value": 1.0} for number in range(50)]
        self._metrics.put_metric_data(Namespace="storm", MetricData=data)

    def create_model(self) -> None:
        self._count += 1
        name = f"model-{self._count}"
        container = {"Image": IMAGE, "ModelDataUrl": "s3://kill/model.tar.gz", "Environment": {"A": "x" * 900}}
        self._sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        self._models.add(name)

    def create_job(self) -> None:
        self._count += 1
        name = f"job-{self._count}"
        filler = str(self.dice.choice([0, 100_000, 1 << 20]))
        create_counting(self._sagemaker, name, steps="5", filler=filler)
        self._jobs.append(name)

    def read(self) -> None:
        """What writes nothing is never refused."""
        self._s3.list_objects_v2(Bucket="kill")
        self._s3.get_object(Bucket="kill", Key="model.tar.gz")["Body"].read()
        self._sagemaker.list_training_jobs()
        self._logs.describe_log_streams(logGroupName=GROUP)

    def check(self) -> None:
        """What was acknowledged is there."""
        for key, body in self._objects.items():
            try:
                found = self._s3.get_object(Bucket="kill", Key=key)["Body"].read()
            except ClientError as error:
                child.tell(found=f"an acknowledged object is lost: {key}: {error}")
                continue
            if found != body:
                child.tell(found=f"an acknowledged object is another: {key}")
        for name in self._models:
            self._sagemaker.describe_model(ModelName=name)
        page = self._logs.filter_log_events(logGroupName=GROUP)
        found = {event["message"] for event in page["events"]}
        while token := page.get("nextToken"):
            page = self._logs.filter_log_events(logGroupName=GROUP, nextToken=token)
            found |= {event["message"] for event in page["events"]}
        if lost := self._events - found:
            child.tell(found=f"acknowledged log events are lost: {min(lost)[:40]}")

    def check_jobs(self) -> None:
        """Each ends; those that failed did so for want of space, and say it."""
        jobs: dict[str, Any] = {}

        def ended() -> bool:
            child.tell(on="jobs end")
            jobs.update({name: self._server.describe(name) for name in self._jobs})
            return all(job["TrainingJobStatus"] in ENDED for job in jobs.values())

        test_kill.until(ended, rounds=4)
        for name, job in jobs.items():
            said = str(job.get("FailureReason"))
            child.tell(tried=f"jobs that {'were completed' if job['TrainingJobStatus'] == 'Completed' else 'failed'}")
            if job["TrainingJobStatus"] != "Completed" and "space" not in said.lower():
                lines = (self._server.home / "logs").rglob(f"{name}/*")
                last = " / ".join(
                    line for path in lines if path.is_file() for line in path.read_text().splitlines()[-4:]
                )
                child.tell(found=f"a job is {job['TrainingJobStatus']}: {said}", detail=f"{name}: {last}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # whoever ends it wants the server stopped
    main(int(sys.argv[1]), Path(sys.argv[2]))
