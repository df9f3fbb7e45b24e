"""SIGKILL of the server, job monitors, programs and workers, at random instants, while programs work without pause.

After each start: what was acknowledged is there and whole, no step of a job is done twice, every job comes to an end
that says why, and an endpoint answers right.
"""

from __future__ import annotations

import io
import random
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from tests.control import test_kill
from tests.storm import material
from tests.storm.server import ENDED, Server
from tests.storm.weather import Tally

from clary.control import home as homes
from clary.control.jobs.launchers.local.lock import is_held

KILLS = 8  # a round
MOST_JOBS = 10  # a round
SAID = (424, 502, 503)  # a server that stops, a worker that died: for a client to try again
COLOURS = ("blue", "green", "red")
GROUP, STREAM = "/storm", "log"
STEPS = 40  # of a counting job, unless it is told otherwise
PATIENCE = 180.0  # seconds for everything to end; it takes some ten


class Kills:
    name = "kills"

    def absent(self) -> str:
        return "" if sys.platform == "linux" else "who is whose child is read from /proc"

    def round(self, seed: int, folder: Path, tally: Tally) -> None:
        dice = random.Random(seed)
        material.add_counts(folder / "site")
        (folder / "colours.tar.gz").write_bytes(material.colour_model())
        with Server(folder / "home", tally) as server:
            s3, sagemaker = server.client("s3"), server.client("sagemaker")
            s3.create_bucket(Bucket="kill")
            test_kill.upload_images(s3, material.colour_jpeg)
            s3.upload_file(str(folder / "colours.tar.gz"), "kill", "model.tar.gz")
            test_kill.deploy(sagemaker)
            programs: list[Program] = [Uploads(server, seed, tally, 0), Uploads(server, seed, tally, 1)]
            programs += [Logs(server, seed, tally), Calls(server, seed, tally)]
            jobs = Jobs(server, seed, tally)
            programs.append(jobs)
            for program in programs:
                program.start()
            try:
                _kill(server, jobs, dice, tally)
            finally:
                for program in programs:
                    program.enough.set()
                for program in programs:
                    program.join()
            for program in programs:
                with tally.watched(f"after {KILLS} kills, {program.what}"):
                    assert program.turns, "none in the whole round"
                    program.check()


WEATHER = Kills()


def _kill(server: Server, jobs: Jobs, dice: random.Random, tally: Tally) -> None:
    """Kill one process after another, now and then two at a time."""
    for _ in range(KILLS):
        threading.Event().wait(dice.uniform(0, 2.5))
        for _ in range(dice.choice([1, 1, 1, 2])):
            what, name, pid = dice.choice(_victims(server, jobs))
            if what == "program":
                jobs.shot.add(name)  # an algorithm that was killed has failed, as on SageMaker
            test_kill.kill(pid)
            tally.try_(f"kills of a {what}")
            if what == "server":
                test_kill.until(lambda: not homes.held(server.home))
                server.start()


def _victims(server: Server, jobs: Jobs) -> list[tuple[str, str, int]]:
    """What can be killed now, each kind as often as any other: what it is, which, and its process."""
    monitors = sorted(test_kill.running(server, jobs.names).items())
    programs = [("program", name, pid) for name, monitor in monitors for pid in test_kill.children(monitor)]
    workers = [("worker", "", pid) for pid in test_kill.of_gateway(server, "hosting.worker")]
    forkserver = [("forkserver", "", pid) for pid in test_kill.of_gateway(server, "local.forkserver")]
    kinds = [[("monitor", name, pid) for name, pid in monitors], programs, workers, forkserver]
    return [("server", "", server.pid), *(kind[0] for kind in kinds if kind)]


class Program(threading.Thread):
    """What a user runs, again and again until told that it is enough; then it checks what must be there."""

    what: str

    def __init__(self, server: Server, seed: int, tally: Tally, number: int = 0) -> None:
        super().__init__(daemon=True)
        self.server, self.tally, self.number = server, tally, number
        self.dice = random.Random(f"{seed} {self.what} {number}")
        self.enough = threading.Event()
        self.turns = 0

    def run(self) -> None:
        while not self.enough.is_set():
            try:
                self.turn()
            except BotoCoreError:  # cut off: it may be done or not
                continue
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] not in SAID:
                    self.tally.find(f"{self.what}: {error}")
                continue
            self.turns += 1
            self.tally.try_(self.what)

    def turn(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        raise NotImplementedError


class Uploads(Program):
    """Puts, replaces, copies and deletes; remembers what may be found under each key."""

    what = "objects put"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._s3 = self.server.client("s3")
        self._possible: dict[str, list[bytes | None]] = {}

    def turn(self) -> None:
        key = f"objects-{self.number}/{self.dice.choice(['a', 'a/b', 'c//d', '../e', 'é' * 200, 'f'])}"
        here = {"Bucket": "kill", "Key": key}
        possible = self._possible.setdefault(key, [None])
        match self.dice.choice(["put", "put", "put", "parts", "copy", "delete"]):
            case "delete":
                possible.append(None)
                self._s3.delete_object(**here)
                self._possible[key] = [None]
                return
            case "parts":
                body = self.dice.randbytes(5 << 20) + b"end"
                possible.append(body)
                upload = self._s3.create_multipart_upload(**here)["UploadId"]
                numbered = [(1, body[: 5 << 20]), (2, body[5 << 20 :])]
                etags = [
                    self._s3.upload_part(**here, UploadId=upload, PartNumber=n, Body=b)["ETag"] for n, b in numbered
                ]
                parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
                self._s3.complete_multipart_upload(**here, UploadId=upload, MultipartUpload={"Parts": parts})
            case "copy":
                body = material.colour_jpeg("blue", 0)
                possible.append(body)
                self._s3.copy_object(**here, CopySource="kill/train/blue0.jpg")
            case _:
                body = self.dice.randbytes(self.dice.choice([0, 10, 5_000, 300_000]))
                possible.append(body)
                self._s3.put_object(**here, Body=body, CacheControl="x" * self.dice.choice([0, 0, 5000]))
        self._possible[key] = [body]

    def check(self) -> None:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket="kill", Prefix=f"objects-{self.number}/")
        listed = {each["Key"] for page in pages for each in page.get("Contents", [])}
        for key, possible in self._possible.items():
            found = self._s3.get_object(Bucket="kill", Key=key)["Body"].read() if key in listed else None
            if found not in possible:
                self.tally.find(
                    f"an acknowledged object is {'torn or another' if found is not None else 'lost'}: {key[:40]}"
                )
        if unknown := listed - set(self._possible):
            self.tally.find(f"objects that nobody put: {sorted(unknown)}")


class Logs(Program):
    """Writes log events; those that were acknowledged must be there."""

    what = "log events put"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._logs = self.server.client("logs")
        self._made, self._count, self._acknowledged = False, 0, set[str]()

    def turn(self) -> None:
        if not self._made:
            for make, name in (
                (self._logs.create_log_group, {}),
                (self._logs.create_log_stream, {"logStreamName": STREAM}),
            ):
                try:
                    make(logGroupName=GROUP, **name)
                except self._logs.exceptions.ResourceAlreadyExistsException:
                    continue
            self._made = True
        lines = [f"{self._count + n} {'x' * self.dice.choice([0, 0, 3000])}" for n in range(self.dice.choice([1, 5]))]
        self._count += len(lines)
        events = [{"timestamp": int(time.time() * 1000), "message": line} for line in lines]
        self._logs.put_log_events(logGroupName=GROUP, logStreamName=STREAM, logEvents=events)
        self._acknowledged |= set(lines)

    def check(self) -> None:
        found, token = set[str](), dict[str, str]()
        while True:
            page = self._logs.get_log_events(logGroupName=GROUP, logStreamName=STREAM, startFromHead=True, **token)
            found |= {event["message"] for event in page["events"]}
            if token == {"nextToken": page["nextForwardToken"]}:
                break
            token = {"nextToken": page["nextForwardToken"]}
        if lost := self._acknowledged - found:
            self.tally.find(
                f"acknowledged log events are lost: {len(lost)} of {len(self._acknowledged)}, {min(lost)[:40]}"
            )


class Calls(Program):
    """Asks the endpoint; an answer is right, whatever was killed meanwhile."""

    what = "endpoint calls"

    def turn(self) -> None:
        colour = self.dice.choice(COLOURS)
        scores = test_kill.invoke(self.server, material.colour_jpeg(colour, self.dice.randrange(50)))
        if scores.index(max(scores)) != COLOURS.index(colour):
            self.tally.find(f"the endpoint says {scores} of a {colour} picture")

    def check(self) -> None:
        def answers() -> bool:
            try:
                self.turn()
            except (ClientError, BotoCoreError):
                return False
            return True

        _until(answers, "the endpoint never answers again")


class Jobs(Program):
    """Creates jobs, of a program that counts its steps and now and then of a network that learns; stops some."""

    what = "jobs"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._sagemaker = self.server.client("sagemaker")
        self.names: list[str] = []
        self.shot: set[str] = set()
        self._stopped: set[str] = set()

    def turn(self) -> None:
        self.enough.wait(self.dice.uniform(0.2, 2.0))
        count = len(self.names)
        if count == MOST_JOBS:
            self.enough.wait()
            return
        name = f"learns-{count}" if count % 5 == 3 else f"counts-{count}"
        try:
            (test_kill.create if count % 5 == 3 else create_counting)(self._sagemaker, name)
        finally:
            # Where every try was cut off nobody knows whether it is there.
            if self._is_there(name):
                self.names.append(name)
        if self.dice.random() < 0.15:
            self._stopped.add(name)
            self._sagemaker.stop_training_job(TrainingJobName=name)

    def _is_there(self, name: str) -> bool:
        while True:
            try:
                self._sagemaker.describe_training_job(TrainingJobName=name)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                    return False
            except BotoCoreError:
                continue
            else:
                return True

    def check(self) -> None:
        states: dict[str, Any] = {}

        def ended() -> bool:
            states.update({name: self.server.describe(name) for name in self.names})
            return all(job["TrainingJobStatus"] in ENDED for job in states.values())

        try:
            _until(ended, "jobs never end")
        except AssertionError as error:
            left = {
                name: job["SecondaryStatus"] for name, job in states.items() if job["TrainingJobStatus"] not in ENDED
            }
            self.tally.find(f"{error}: {left}")
        for name, job in states.items():
            if job["TrainingJobStatus"] in ENDED and (fault := self._fault(name, job)):
                self.tally.find(f"a job {fault}", name)

    def _fault(self, name: str, job: dict[str, Any]) -> str:
        """What is wrong with a job that has ended; empty where nothing is."""
        status, stages = job["TrainingJobStatus"], [one["Status"] for one in job["SecondaryStatusTransitions"]]
        lines = self._lines(name)
        if any("BlockingIOError" in line for line in lines):
            return "ran twice at a time"
        if is_held(self.server.home / "jobs" / name):
            return f"is {status} and still runs"
        if status == "Stopped" and name in self._stopped:
            return ""
        if status == "Failed" and name in self.shot:
            return "" if job.get("FailureReason") else "failed and does not say why"
        if status != "Completed":
            return f"is {status}, though nobody shot its program: {job.get('FailureReason')}"
        if stages.count("Completed") != 1:
            return f"was completed {stages.count('Completed')} times"
        key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://kill/")
        data = self.server.client("s3").get_object(Bucket="kill", Key=key)["Body"].read()
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            if name.startswith("learns"):
                return "" if "manifest.json" in archive.getnames() else "left a model without a manifest"
            steps = archive.extractfile("steps")
            done = steps.read().split() if steps else []
        return "" if done == [b"%d" % step for step in range(STEPS)] else f"did not do each step once: {done}"

    def _lines(self, name: str) -> list[str]:
        pages = (
            self.server.client("logs")
            .get_paginator("filter_log_events")
            .paginate(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/")
        )
        return [event["message"] for page in pages for event in page["events"]]


def create_counting(sagemaker: Any, name: str, **hyperparameters: str) -> None:
    """Create a job of ``counts``; one that is there is an answer that was cut off, and the call made again."""
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://kill/train/"}}
    with suppress(sagemaker.exceptions.ResourceInUse):
        sagemaker.create_training_job(
            TrainingJobName=name,
            RoleArn="arn:aws:iam::000000000000:role/Storm",
            AlgorithmSpecification={"TrainingImage": "counts:1", "TrainingInputMode": "File"},
            HyperParameters=hyperparameters,
            InputDataConfig=[{"ChannelName": "train", "ContentType": "application/x-image", "DataSource": source}],
            OutputDataConfig={"S3OutputPath": "s3://kill/output"},
            CheckpointConfig={"S3Uri": f"s3://kill/checkpoints/{name}"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 600},
        )


def _until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, otherwise
        threading.Event().wait(0.2)
