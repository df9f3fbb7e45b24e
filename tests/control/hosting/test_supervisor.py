"""Endpoints deployed, updated, called, killed, put to sleep, brought back: with real workers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clary.control.hosting import supervisor
from clary.control.wire.errors import ServiceError
from clary.vision.inference.predictor import load

# Each test starts real workers: together they take half a minute of two processors.
pytestmark = pytest.mark.slow


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def alive(pid: int) -> bool:
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


class TestDeploy:
    def test_into_service_called_and_removed(self, rig, jpeg, until, model_archive):
        async def work():
            async with rig.running() as hosting:
                record = await rig.serve("pets", "one")
                answer = await rig.call("pets", jpeg())
                assert (answer.status, answer.variant) == (200, "v0")
                assert answer.headers["Content-Type"] == "application/json"
                with load(model_archive) as model:
                    np.testing.assert_allclose(json.loads(answer.body), model.predict(jpeg())[0].scores, atol=0.02)
                pid = rig.worker("pets").pid
                (variant,) = record.body["ProductionVariants"]
                assert (variant["VariantName"], variant["CurrentWeight"], variant["CurrentInstanceCount"]) == (
                    "v0",
                    1,
                    1,
                )
                assert variant["DeployedImages"][0]["SpecifiedImage"].endswith("/image-classification:1")
                rig.store.delete("endpoint", "pets")
                hosting.remove("pets")
                await until(lambda: not alive(pid))
                await until(lambda: not rig.files())
                with pytest.raises(ServiceError, match=r"Endpoint pets of account 000000000000 not found\.") as error:
                    await rig.call("pets", jpeg())
                assert error.value.code == "ValidationError"

        run(work())

    def test_what_a_worker_says_is_in_the_log(self, rig, jpeg):
        async def work():
            async with rig.running():
                await rig.serve("pets", "one")
                (stream,) = rig.logs.streams("/aws/sagemaker/Endpoints/pets")
                assert stream.name.startswith("v0/i-")
                lines = rig.log("pets")
                assert any(line.startswith("3 classes, ") for line in lines)
                assert any(line.endswith("(cold)") for line in lines)

        run(work())

    def test_several_endpoints_side_by_side(self, rig, jpeg):
        async def work():
            async with rig.running():
                rig.create("first", "one")
                rig.create("second", "one")
                assert {(await rig.settled(name)).status for name in ("first", "second")} == {"InService"}
                answers = await asyncio.gather(*(rig.call(name, jpeg()) for name in ("first", "second")))
                assert answers[0].body == answers[1].body
                assert rig.worker("first").pid != rig.worker("second").pid

        run(work())

    def test_removed_while_it_is_created(self, rig, until):
        async def work():
            async with rig.running() as hosting:
                rig.create("pets", "one")
                await until(lambda: list(rig.settings.endpoints_root.rglob("manifest.json")))
                rig.store.delete("endpoint", "pets")
                hosting.remove("pets")
                await until(lambda: not rig.files())
                rig.create("pets", "one")
                assert (await rig.settled("pets")).status == "InService"

        run(work())

    def test_one_worker_serves_many_instances_and_says_so(self, rig):
        async def work():
            rig.config("many", "cats", InitialInstanceCount=3)
            async with rig.running():
                record = await rig.serve("pets", "many")
                assert record.body["ProductionVariants"][0]["CurrentInstanceCount"] == 3
                assert any("3 instances were asked for" in line for line in rig.log("pets"))

        run(work())

    def test_uncompressed_model_data(self, rig, model_folder, jpeg):
        async def work():
            for path in model_folder.rglob("*"):
                if path.is_file():
                    rig.objects.put("models", f"plain/{path.relative_to(model_folder).as_posix()}", path)
            source = {"S3Uri": "s3://models/plain/", "S3DataType": "S3Prefix", "CompressionType": "None"}
            rig.model("plain", None, ModelDataUrl=None, ModelDataSource={"S3DataSource": source})
            rig.config("plain", "plain")
            async with rig.running():
                await rig.serve("pets", "plain")
                assert (await rig.call("pets", jpeg())).status == 200

        run(work())

    def test_the_environment_of_the_container_counts(self, rig, model_archive, encoded):
        async def work():
            variables = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1", "SAGEMAKER_MODEL_PRECISION": "fp32"}
            rig.model("small", model_archive, Environment=variables)
            rig.config("small", "small")
            async with rig.running():
                await rig.serve("pets", "small")
                answer = await rig.call("pets", bytes((1 << 20) + 1))
                assert answer.status == 413
                assert b"larger than 1 MB" in answer.body
                assert "3 classes, openvino in fp32" in rig.log("pets")

        run(work())

    def test_the_environment_of_the_container_does_not_reach_the_platform(self, rig, model_archive, jpeg, tmp_path):
        async def work():
            (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
            hostile = {"PYTHONPATH": str(tmp_path), "LD_PRELOAD": "x.so", "CLARY_HOME": "x", "SAGEMAKER_NOTE": "kept"}
            rig.model("odd", model_archive, Environment=hostile)
            rig.config("odd", "odd")
            async with rig.running():
                await rig.serve("pets", "odd")
                assert (await rig.call("pets", jpeg())).status == 200
            assert not (tmp_path / "ran").exists()
            said = [line for line in rig.log("pets") if line.startswith("Environment")]
            assert len(said) == 1
            assert "CLARY_HOME, LD_PRELOAD, PYTHONPATH withheld from the endpoint's worker" in said[0]

        run(work())


class TestFailureReasons:
    async def _fails(self, rig: Any, config: str) -> str:
        async with rig.running() as hosting:
            rig.create("pets", config)
            record = await rig.settled("pets")
            assert record.status == "Failed"
            assert hosting.deployment("pets") is None
            assert not rig.files()
            with pytest.raises(ServiceError, match="is not in service: its status is Failed"):
                await rig.call("pets", b"")
        return str(record.body["FailureReason"])

    def _reason(self, rig: Any, config: str) -> str:
        return asyncio.run(self._fails(rig, config))

    def test_no_model_data(self, rig):
        rig.model("gone", None)
        reason = self._reason(rig, rig.config("c", "gone"))
        assert reason.startswith(
            'Failed to download model data for container "container_1" from URL: "s3://models/gone/'
        )
        assert "The specified key does not exist" in reason
        assert reason.endswith("(production variant v0)")

    def test_no_bucket(self, rig):
        rig.model("gone", None, ModelDataUrl="s3://nowhere/model.tar.gz")
        assert "The specified bucket does not exist: nowhere" in self._reason(rig, rig.config("c", "gone"))

    def test_a_damaged_archive(self, rig, model_archive, tmp_path):
        torn = tmp_path / "torn.tar.gz"
        torn.write_bytes(model_archive.read_bytes()[:-2000])
        rig.model("torn", torn)
        reason = self._reason(rig, rig.config("c", "torn"))
        assert reason.startswith('The model data at "s3://models/torn/model.tar.gz" cannot be used')
        assert "damaged or cut off" in reason

    def test_a_model_that_was_not_trained_here(self, rig, tmp_path):
        import tarfile

        (tmp_path / "model_algo_1-0000.params").write_bytes(b"mxnet")
        with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as tar:
            tar.add(tmp_path / "model_algo_1-0000.params", "model_algo_1-0000.params")
        rig.model("foreign", tmp_path / "m.tar.gz")
        assert "holds no manifest.json, so it is no model" in self._reason(rig, rig.config("c", "foreign"))

    def test_files_that_were_changed(self, rig, model_folder, tmp_path):
        import shutil

        from clary.vision.artifact.archive import pack

        shutil.copytree(model_folder, tmp_path / "m")
        with (tmp_path / "m" / "model.onnx").open("ab") as file:
            file.write(b"x")
        rig.model("changed", pack(tmp_path / "m", tmp_path / "m.tar.gz"))
        reason = self._reason(rig, rig.config("c", "changed"))
        assert "`model.onnx` is not what the manifest says (its checksum differs)" in reason

    def test_an_image_nothing_here_serves(self, rig, model_archive):
        rig.model("torch", model_archive, "763104351884.dkr.ecr.us-east-1.amazonaws.com/mxnet-inference:1.9-cpu-py38")
        reason = self._reason(rig, rig.config("c", "torch"))
        assert "mxnet-inference:1.9-cpu-py38" in reason
        assert 'pattern = "mxnet-inference:*" environment = "clary"' in reason

    def test_a_model_that_is_gone(self, rig):
        rig.store.delete("model", "cats")
        assert 'Could not find model "cats"' in self._reason(rig, "one")

    def test_a_wrong_environment(self, rig, model_archive):
        rig.model("odd", model_archive, Environment={"SAGEMAKER_MAX_PAYLOAD_IN_MB": "many"})
        assert "SAGEMAKER_MAX_PAYLOAD_IN_MB: is 'many', not a whole number" in self._reason(rig, rig.config("c", "odd"))

    def test_a_fault_of_our_own(self, rig, caplog):
        rig.store.create("endpoint-config", "c", arn="c", body={"ProductionVariants": [{}]})
        assert "Clary failed while it deployed the endpoint (KeyError: 'VariantName')" in self._reason(rig, "c")
        assert "Traceback" in caplog.text

    def test_not_healthy_in_time(self, rig):
        config = rig.config("hasty", "cats", ContainerStartupHealthCheckTimeoutInSeconds=0.01)
        assert "did not pass the ping health check within 0.01 seconds" in self._reason(rig, config)


class Load:
    """Clients that call without a pause. ``answers`` counts outcomes."""

    def __init__(self, rig: Any, image: bytes, clients: int = 4) -> None:
        self.answers: Counter[str] = Counter()
        self._rig, self._image, self._clients = rig, image, clients

    @asynccontextmanager
    async def __call__(self, name: str) -> Any:
        clients = [asyncio.create_task(self._client(name)) for _ in range(self._clients)]
        try:
            yield self
        finally:
            for client in clients:
                client.cancel()
            await asyncio.wait(clients)

    async def _client(self, name: str) -> None:
        while True:
            try:
                answer = await self._rig.call(name, self._image)
                self.answers[str(answer.status)] += 1
            except ServiceError as error:
                self.answers[str(error)] += 1

    @property
    def count(self) -> int:
        return sum(self.answers.values())


class TestUpdate:
    def test_no_call_is_dropped(self, rig, jpeg, model_archive, until):
        async def work():
            rig.model("dogs", model_archive)
            rig.config("two", "dogs", "dogs")
            load = Load(rig, jpeg())
            async with rig.running():
                await rig.serve("pets", "one")
                before = rig.worker("pets")
                async with load("pets"):
                    await until(lambda: load.count > 20)
                    rig.update("pets", "two")
                    assert rig.record("pets").status == "Updating"
                    record = await rig.settled("pets")
                    seen = load.count
                    await until(lambda: load.count > seen + 20 and before.ended.is_set())
                assert set(load.answers) == {"200"}
                assert record.body["EndpointConfigName"] == "two"
                assert [one["VariantName"] for one in record.body["ProductionVariants"]] == ["v0", "v1"]
                assert "_target" not in record.body
                await until(lambda: len(list((rig.settings.endpoints_root / "pets").iterdir())) == 1)

        run(work())

    def test_one_that_fails_keeps_the_old(self, rig, jpeg):
        async def work():
            rig.model("gone", None)
            rig.config("bad", "cats", "gone")
            async with rig.running():
                await rig.serve("pets", "one")
                pid = rig.worker("pets").pid
                rig.update("pets", "bad")
                record = await rig.settled("pets")
                assert record.status == "InService"
                assert record.body["EndpointConfigName"] == "one"
                assert record.body["FailureReason"].startswith("Failed to download model data")
                assert rig.worker("pets").pid == pid
                assert (await rig.call("pets", jpeg())).status == 200
                rig.update("pets", "one")
                assert "FailureReason" not in (await rig.settled("pets")).body

        run(work())

    def test_weights_and_counts_can_be_kept(self, rig):
        async def work():
            rig.config("two", "cats", "cats", weights=(1, 3))
            rig.config("three", "cats", "cats", "cats", weights=(5, 5, 5), InitialInstanceCount=2)
            async with rig.running():
                await rig.serve("pets", "two")
                rig.update("pets", "three", retain=["DesiredInstanceCount"])
                variants = (await rig.settled("pets")).body["ProductionVariants"]
                assert [one["CurrentWeight"] for one in variants] == [1, 3, 5]
                assert [one["CurrentInstanceCount"] for one in variants] == [2, 2, 2]

        run(work())


class TestVariants:
    def test_calls_are_shared_by_weight(self, rig, jpeg):
        async def work():
            rig.config("two", "cats", "cats", weights=(1, 3))
            async with rig.running() as hosting:
                await rig.serve("pets", "two")
                share = Counter([(await rig.call("pets", jpeg())).variant for _ in range(20)])
                assert share == {"v0": 5, "v1": 15}
                hosting.reweigh("pets", {"v0": {"weight": 1.0}, "v1": {"weight": 0.0, "count": 2}})
                share = Counter([(await rig.call("pets", jpeg())).variant for _ in range(5)])
                assert share == {"v0": 5}
                variants = rig.record("pets").body["ProductionVariants"]
                assert [(one["CurrentWeight"], one["CurrentInstanceCount"]) for one in variants] == [(1, 1), (0, 2)]
                assert (await rig.call("pets", jpeg(), "v1")).variant == "v1"
                with pytest.raises(ServiceError, match="Variant v2 not found") as error:
                    await rig.call("pets", jpeg(), "v2")
                assert error.value.code == "ValidationError"

        run(work())


class TestDeath:
    def test_a_killed_worker_is_replaced_and_the_call_answered(self, rig, jpeg):
        async def work():
            async with rig.running():
                await rig.serve("pets", "one")
                pid = rig.worker("pets").pid
                os.kill(pid, signal.SIGKILL)
                assert (await rig.call("pets", jpeg())).status == 200
                assert rig.worker("pets").pid != pid
                assert "the worker was ended by SIGKILL; another is started" in rig.log("pets")

        run(work())

    @pytest.mark.slow
    def test_killed_again_and_again_under_load(self, rig, jpeg, until):
        async def work():
            load = Load(rig, jpeg())
            async with rig.running():
                await rig.serve("pets", "one")
                async with load("pets"):
                    for number in range(10):
                        await until(lambda: rig.worker("pets") is not None)
                        seen = load.count
                        await until(lambda: load.count > seen + 3 * number)  # noqa: B023
                        os.kill(rig.worker("pets").pid, signal.SIGKILL)
                        await until(lambda: rig.worker("pets") is None)
                    seen = load.count
                    await until(lambda: load.count > seen + 10)
                assert set(load.answers) == {"200"}

        run(work())

    def test_workers_that_cannot_start_again_fail_the_call_with_the_reason(self, rig, jpeg, until, monkeypatch):
        async def work():
            monkeypatch.setattr("clary.control.hosting.instance._FIRST_PAUSE", 0.01)
            async with rig.running():
                await rig.serve("pets", "one")
                (graph,) = rig.settings.endpoints_root.rglob("model.onnx")
                content = graph.read_bytes()
                graph.write_bytes(b"x")
                os.kill(rig.worker("pets").pid, signal.SIGKILL)
                with pytest.raises(ServiceError, match=r"server error \(500\) from primary with message") as error:
                    await rig.call("pets", jpeg())
                assert (error.value.code, error.value.status) == ("ModelError", 424)
                assert "its checksum differs" in error.value.members["OriginalMessage"]
                assert rig.record("pets").status == "InService"
                graph.write_bytes(content)
                await until(lambda: rig.worker("pets"))
                assert (await rig.call("pets", jpeg())).status == 200

        run(work())

    def test_a_worker_that_hangs_is_replaced(self, rig, jpeg, until, monkeypatch):
        async def work():
            monkeypatch.setattr(supervisor, "CALL_LIMIT", 0.3)
            monkeypatch.setattr("clary.control.hosting.instance.PING_LIMIT", 0.3)
            async with rig.running():
                await rig.serve("pets", "one")
                pid = rig.worker("pets").pid
                os.kill(pid, signal.SIGSTOP)
                with pytest.raises(ServiceError, match="Your invocation timed out") as error:
                    await rig.call("pets", jpeg())
                assert (error.value.code, error.value.members["OriginalStatusCode"]) == ("ModelError", 0)
                await until(lambda: rig.worker("pets") is not None and rig.worker("pets").pid != pid)
                monkeypatch.setattr(supervisor, "CALL_LIMIT", 60)
                assert (await rig.call("pets", jpeg())).status == 200

        run(work())


class TestIdle:
    def test_put_to_sleep_and_woken(self, make_rig, model_archive, jpeg, until):
        rig = make_rig(idle_after=0.2)

        async def work():
            rig.config("one", rig.model("cats", model_archive))
            async with rig.running():
                await rig.serve("pets", "one")
                pid = rig.worker("pets").pid
                await until(lambda: rig.worker("pets") is None and not alive(pid))
                assert rig.record("pets").status == "InService"
                answers = await asyncio.gather(*(rig.call("pets", jpeg()) for _ in range(5)))
                assert {answer.status for answer in answers} == {200}
                assert any("no calls for 0.2 seconds" in line for line in rig.log("pets"))

        run(work())


class TestRestart:
    def test_what_was_in_service_comes_back(self, rig, jpeg):
        async def first():
            async with rig.running():
                await rig.serve("pets", "one")
                pid = rig.worker("pets").pid
            assert not alive(pid)

        async def second():
            for kind, name in (("model", "cats"), ("endpoint-config", "one")):
                rig.store.delete(kind, name)
            async with rig.running():
                assert rig.record("pets").status == "InService"
                assert (await rig.call("pets", jpeg())).status == 200

        run(first())
        run(second())

    def test_woken_without_a_call_one_after_the_other(self, rig, until):
        async def first():
            async with rig.running():
                await rig.serve("pets", "one")

        async def second():
            async with rig.running():
                await until(lambda: rig.worker("pets"))

        run(first())
        run(second())

    def test_model_data_that_is_gone_is_fetched_again(self, rig, jpeg):
        import shutil

        async def first():
            async with rig.running():
                await rig.serve("pets", "one")
            shutil.rmtree(rig.settings.endpoints_root)

        async def second():
            async with rig.running():
                assert (await rig.call("pets", jpeg())).status == 200

        run(first())
        run(second())

    @pytest.mark.parametrize("status", ["Creating", "Updating"])
    def test_what_was_going_on_goes_on(self, rig, jpeg, status):
        async def work():
            if status == "Updating":
                async with rig.running():
                    await rig.serve("pets", "one")
            else:
                body = {"EndpointName": "pets", "EndpointConfigName": "one"}
                rig.store.create("endpoint", "pets", arn="e", body=body)
            rig.config("two", "cats", "cats")
            target: dict[str, Any] = {"config": "two", "retain": None, "members": {}}
            rig.store.edit("endpoint", "pets", lambda record: ({**record.body, "_target": target}, status))
            left = rig.settings.endpoints_root / "pets" / "left-over"
            left.mkdir(parents=True)
            async with rig.running():
                assert not left.exists()
                record = await rig.settled("pets")
                assert (record.status, record.body["EndpointConfigName"]) == ("InService", "two")
                assert (await rig.call("pets", jpeg(), "v1")).status == 200

        run(work())

    def test_nothing_is_left_of_endpoints_without_a_record(self, rig, tmp_path):
        async def work():
            (rig.settings.endpoints_root / "old" / "1" / "v0").mkdir(parents=True)
            async with rig.running():
                assert not (rig.settings.endpoints_root / "old").exists()

        run(work())


class TestSpare:
    def test_the_warm_road(self, make_rig, model_archive, jpeg, until):
        rig = make_rig(warm=True)

        async def work():
            rig.config("one", rig.model("cats", model_archive))
            async with rig.running() as hosting:
                await until(lambda: hosting.warm_worker_pid)
                warm_worker = hosting.warm_worker_pid
                await rig.serve("pets", "one")
                assert rig.worker("pets").pid == warm_worker
                assert any(line.endswith("(warm)") for line in rig.log("pets"))
                assert (await rig.call("pets", jpeg())).status == 200
                await until(lambda: hosting.warm_worker_pid)
                assert hosting.warm_worker_pid != warm_worker
                last = hosting.warm_worker_pid
            assert not alive(last)

        run(work())


def test_calls_are_counted(rig, jpeg):
    async def work():
        async with rig.running():
            await rig.serve("pets", "one")
            for image in (jpeg(), jpeg(seed=1), b"no picture"):
                await rig.call("pets", image)
        dimensions = {"EndpointName": "pets", "VariantName": "v0"}
        points = {
            name: rig.store.points("AWS/SageMaker", name, dimensions, 0, 1e12)
            for name in ("Invocations", "Invocation4XXErrors", "Invocation5XXErrors", "ModelLatency", "OverheadLatency")
        }
        assert sum(point.value * point.count for point in points["Invocations"]) == 3
        assert sum(point.value * point.count for point in points["Invocation4XXErrors"]) == 1
        assert sum(point.value * point.count for point in points["Invocation5XXErrors"]) == 0
        assert all(point.unit == "Microseconds" and 100 < point.value < 60e6 for point in points["ModelLatency"])
        assert all(0 < point.value < 1e6 for point in points["OverheadLatency"])

    run(work())


def test_only_some_headers_reach_the_worker(rig, jpeg):
    async def work():
        async with rig.running() as hosting:
            await rig.serve("pets", "one")
            headers = {
                "content-type": "image/jpeg",
                "accept": "application/jsonlines",
                "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
                "Transfer-Encoding": "chunked",
                "Cookie": "x",
            }
            answer = await hosting.invoke("pets", jpeg(), headers)
            assert answer.headers == {
                "Content-Type": "application/jsonlines",
                "X-Amzn-SageMaker-Custom-Attributes": "trace=1",
            }

    run(work())


def test_a_home_too_deep_for_sockets(make_rig, model_archive, jpeg, tmp_path):
    deep: Path = tmp_path / ("d" * 100)
    rig = make_rig(home=deep)

    async def work():
        rig.config("one", rig.model("cats", model_archive))
        async with rig.running():
            await rig.serve("pets", "one")
            assert (await rig.call("pets", jpeg())).status == 200

    run(work())


def test_two_hundred_callers_at_once(rig, jpeg):
    async def work():
        async with rig.running():
            await rig.serve("pets", "one")
            bodies = [jpeg(seed=number) for number in range(200)]
            answers = await asyncio.gather(*(rig.call("pets", body) for body in bodies))
            assert [answer.status for answer in answers] == [200] * 200

    asyncio.run(work())
