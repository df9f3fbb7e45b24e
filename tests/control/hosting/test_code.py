"""Endpoints of users' own code: images, archives of every shape, failures, restarts."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from clary.control.configuration import Configuration, ImageRule
from clary.control.hosting.invocation import Invocation
from clary.control.wire.errors import ServiceError

# Each test starts real workers.
pytestmark = pytest.mark.slow

ECR = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
PYTORCH = f"{ECR}/pytorch-inference:2.1-cpu-py310"
OWN = "000000000000.dkr.ecr.us-east-1.amazonaws.com/mine:1"
RULES = Configuration(images=(ImageRule("mine:*", environment="clary"),))

SCRIPT = """
import os
def model_fn(model_dir):
    print("loading")
    with open(os.path.join(model_dir, "word.txt")) as file:
        return file.read()
def input_fn(data, content_type):
    return data
def predict_fn(data, model):
    if data == "die":
        os._exit(7)
    return model + " " + data
def output_fn(prediction, accept):
    return prediction, "text/plain"
"""


@pytest.fixture
def archive(tmp_path: Path):
    """``archive({"code/inference.py": text})``: a model.tar.gz; ``prefix`` stands before each name, as users pack."""

    def make(files: Mapping[str, str], *, prefix: str = "", first: str | None = None) -> Path:
        path = tmp_path / "model.tar.gz"
        with tarfile.open(path, "w:gz") as packed:
            if first is not None:
                folder = tarfile.TarInfo(first)
                folder.type = tarfile.DIRTYPE
                packed.addfile(folder)
            for name, text in files.items():
                member = tarfile.TarInfo(prefix + name)
                member.size = len(text.encode())
                packed.addfile(member, io.BytesIO(text.encode()))
        return path

    return make


FILES = {"word.txt": "hello", "code/inference.py": SCRIPT}


async def ask(rig, name: str, body: str, **headers: str) -> Invocation:
    sent = {"Content-Type": "text/csv"} | {key.replace("_", "-"): value for key, value in headers.items()}
    answer: Invocation = await rig.hosting.invoke(name, body.encode(), sent)
    return answer


@pytest.fixture
def own(make_rig):
    """A rig whose clary.toml says that the image ``mine`` is Clary's own environment: it starts fastest."""
    return make_rig(configuration=RULES)


@pytest.mark.parametrize(
    ("prefix", "first"),
    [("", None), ("./", "."), ("", "")],
    ids=["plain", "as tar packs a folder", "as SDK v2 repacks"],
)
def test_archives_of_every_shape(own, archive, prefix, first):
    async def work():
        own.model("m", archive(FILES, prefix=prefix, first=first), OWN)
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            answer = await ask(own, "e", "world")
            assert (answer.status, answer.body) == (200, b"hello world")
            assert answer.headers == {"Content-Type": "text/plain"}
            assert any(line.startswith("in service after") for line in own.log("e"))
            assert "loading" in own.log("e")

    asyncio.run(work())


def test_pytorch_with_a_script_of_another_name_from_a_bucket(own, archive):
    """Images before 1.2, and estimators of SDK v1: the model's archive is left alone."""

    async def work():
        code = archive({"train.py": SCRIPT})
        own.objects.put("models", "sourcedir.tar.gz", code)
        variables = {
            "SAGEMAKER_SUBMIT_DIRECTORY": "s3://models/sourcedir.tar.gz",
            "SAGEMAKER_PROGRAM": "train.py",
            "SAGEMAKER_REGION": "us-east-1",
        }
        old = f"{ECR}/sagemaker-pytorch:1.1.0-cpu-py3"
        own.model("m", archive({"word.txt": "hello"}), old, Environment=variables)
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            assert (await ask(own, "e", "v1")).body == b"hello v1"
            assert any("pytorch 1.1.0 py3 was asked for; this is torch 2." in line for line in own.log("e"))

    asyncio.run(work())


def test_sdk_v1_names_the_models_own_archive(own, archive):
    async def work():
        packed = archive(FILES)
        variables = {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://models/m/model.tar.gz", "SAGEMAKER_PROGRAM": "inference.py"}
        own.model("m", packed, OWN, Environment=variables)
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            assert (await ask(own, "e", "v1")).body == b"hello v1"

    asyncio.run(work())


def test_no_model_data(own):
    async def work():
        own.objects.put("models", "code.tar.gz", _source(own))
        container = {
            "Image": OWN,
            "Environment": {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://models/code.tar.gz", "SAGEMAKER_PROGRAM": "serve.py"},
        }
        own.store.create("model", "m", arn="model/m", body={"PrimaryContainer": container})
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            assert (await ask(own, "e", "1")).body == b"[]"

    asyncio.run(work())


def _source(rig) -> Path:
    path: Path = rig.settings.home / "code.tar.gz"
    text = (
        b"import json, os\ndef model_fn(d): return os.listdir(d)\ndef transform_fn(m, d, c, a): return json.dumps(m)\n"
    )
    with tarfile.open(path, "w:gz") as packed:
        member = tarfile.TarInfo("serve.py")
        member.size = len(text)
        packed.addfile(member, io.BytesIO(text))
    return path


class TestWhatIsNotServed:
    @pytest.mark.parametrize(
        ("files", "variables", "reason"),
        [
            (
                {"code/inference.py": "def model_fn(model_dir):\n    return open(model_dir + '/net.pth')\n"},
                {},
                r"^FileNotFoundError: .*/net.pth' \(production variant v0\)\nTraceback.* in model_fn",
            ),
            (
                {"code/inference.py": "def model_fn(:\n"},
                {},
                r"^SyntaxError: .*; mend line 1 of inference.py; it is read by",
            ),
            (
                {"code/inference.py": "import skimage_of_nobody\n"},
                {},
                r"^ModuleNotFoundError: .*; add the line `skimage-of-nobody` to a file requirements.txt beside inf",
            ),
            (
                {
                    "code/inference.py": "",
                    "code/requirements.txt": "of-nobody @ file:///nowhere/of_nobody-1-py3-none-any.whl\n",
                },
                {},
                r"^requirements.txt: cannot be installed: ",
            ),
            (
                FILES,
                {"SAGEMAKER_PROGRAM": "serve.py"},
                r"SAGEMAKER_PROGRAM names serve.py, which is not in the model's code",
            ),
            ({"code/inference.py": ""}, {}, r"^NotImplementedError: Please provide a model_fn implementation"),
        ],
        ids=["model_fn raises", "syntax", "missing module", "requirements", "program", "no model_fn"],
    )
    def test_the_reason_comes_at_once(self, own, archive, files, variables, reason):
        async def work():
            own.model("m", archive(files), OWN, Environment=variables)
            async with own.running():
                own.create("e", own.config("c", "m"))
                record = await own.settled("e")
                assert record.status == "Failed"
                said = record.body["FailureReason"]
                assert re.search(reason, said, re.DOTALL), said
                assert len(said) <= 1024
                # The log has all of it, whatever its length.
                assert said.partition(" (production")[0].splitlines()[0] in "\n".join(own.log("e"))

        asyncio.run(work())

    @pytest.mark.parametrize(
        ("image", "reason"),
        [
            (
                f"{ECR}/mxnet-inference:1.9-cpu-py38",
                "There is no environment for mxnet here .*say in clary.toml what it",
            ),
            (f"{ECR}/pytorch-training:2.1-cpu-py310", "Nothing here serves the image .*is not known here"),
            (
                "mine-other:1",
                r'of your own: say in clary.toml .*\[\[images\]\] pattern = "mine-other:\*" environment = "c',
            ),
        ],
    )
    def test_images(self, own, archive, image, reason):
        async def work():
            own.model("m", archive(FILES), image)
            async with own.running():
                own.create("e", own.config("c", "m"))
                assert re.search(reason, (await own.settled("e")).body["FailureReason"])

        asyncio.run(work())

    def test_code_that_is_not_in_its_bucket(self, own, archive):
        async def work():
            variables = {"SAGEMAKER_SUBMIT_DIRECTORY": "s3://models/gone.tar.gz"}
            own.model("m", archive({"word.txt": "hello"}), OWN, Environment=variables)
            async with own.running():
                own.create("e", own.config("c", "m"))
                said = (await own.settled("e")).body["FailureReason"]
                assert said.startswith("s3://models/gone.tar.gz: SAGEMAKER_SUBMIT_DIRECTORY is not there")

        asyncio.run(work())

    def test_a_start_that_takes_too_long(self, own, archive):
        async def work():
            script = "import time\ndef model_fn(d): time.sleep(600)\n"
            own.model("m", archive({"code/inference.py": script}), OWN)
            async with own.running():
                own.create("e", own.config("c", "m", ContainerStartupHealthCheckTimeoutInSeconds=1))
                said = (await own.settled("e")).body["FailureReason"]
                assert said.startswith("did not pass the ping health check within 1 seconds")

        asyncio.run(work())


def test_errors_of_the_code_are_answers(own, archive):
    async def work():
        script = FILES["code/inference.py"].replace("return model +", "raise ValueError('of mine')\n    return model +")
        own.model("m", archive({**FILES, "code/inference.py": script}), OWN)
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            answer = await ask(own, "e", "a")
            assert (answer.status, answer.body.splitlines()[0]) == (500, b"of mine")
            too_large = await ask(own, "e", "a" * (7 << 20))
            assert (too_large.status, too_large.body.startswith(b"the body is larger than 6 MB")) == (413, True)

    asyncio.run(work())


def test_a_worker_that_dies_is_replaced(own, archive):
    async def work():
        own.model("m", archive(FILES), OWN)
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            assert (await ask(own, "e", "a")).status == 200
            first = own.worker("e")
            os.kill(first.pid, signal.SIGKILL)
            assert (await ask(own, "e", "b")).body == b"hello b"
            assert own.worker("e") is not first
            assert any("the worker was ended by SIGKILL; another is started" in line for line in own.log("e"))

    asyncio.run(work())


def test_a_call_that_ends_its_worker_is_made_once_more_and_no_oftener(own, archive):
    """It may have done something already; it may as well have been another call's doing."""

    async def work():
        own.model("m", archive(FILES), OWN)
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            with pytest.raises(ServiceError, match="2 workers in a row died under this request"):
                await ask(own, "e", "die")
            assert (await ask(own, "e", "b")).body == b"hello b"

    asyncio.run(work())


def test_what_its_code_started_ends_with_the_worker(own, archive, until):
    """A container ends with everything in it."""

    async def work():
        script = FILES["code/inference.py"].replace(
            "        return file.read()",
            "        return str(__import__('subprocess').Popen(['sleep', '1000']).pid)",
        )
        own.model("m", archive({**FILES, "code/inference.py": script}), OWN)
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            left = [int((await ask(own, "e", "")).body)]
            os.kill(own.worker("e").pid, signal.SIGKILL)
            left.append(int((await ask(own, "e", "")).body))
            await until(lambda: not _lives(left[0]))
            own.hosting.remove("e")
            await until(lambda: not _lives(left[1]))

    asyncio.run(work())


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"


def test_it_sleeps_and_wakes(make_rig, archive, until):
    async def work():
        rig = make_rig(configuration=RULES, idle_after=0.5)
        rig.model("m", archive(FILES), OWN)
        async with rig.running():
            await rig.serve("e", rig.config("c", "m"))
            await until(lambda: rig.worker("e") is None)
            assert (await ask(rig, "e", "again")).body == b"hello again"

    asyncio.run(work())


def test_a_second_deployment_is_warm(make_rig, archive, until):
    async def work():
        rig = make_rig(configuration=RULES, warm=True)
        rig.model("m", archive(FILES), OWN)
        async with rig.running():
            await rig.serve("e", rig.config("c", "m"))
            await until(lambda: rig.hosting.warm_code_worker_pid is not None)
            await rig.serve("f", "c")
            assert not any("starts cold" in line for line in rig.log("f"))
            assert (await ask(rig, "f", "warm")).body == b"hello warm"

    asyncio.run(work())


def test_an_endpoint_outlives_the_gateway(own, archive):
    async def work():
        own.model("m", archive(FILES), OWN)
        async with own.running():
            await own.serve("e", own.config("c", "m"))
        own.store.delete("model", "m")
        async with own.running():
            assert (await ask(own, "e", "once more")).body == b"hello once more"

    asyncio.run(work())


def test_a_command_of_clary_toml(make_rig, archive, tmp_path):
    async def work():
        program = tmp_path / "program.py"
        program.write_text(
            "import http.server, os\n"
            "class Handler(http.server.BaseHTTPRequestHandler):\n"
            "    def do_GET(self):\n        self.send_response(200)\n        self.end_headers()\n"
            "    def do_POST(self):\n        self.do_GET()\n        self.wfile.write(os.listdir('.')[0].encode())\n"
            "address = ('127.0.0.1', int(os.environ['SAGEMAKER_BIND_TO_PORT']))\n"
            "http.server.ThreadingHTTPServer(address, Handler).serve_forever()\n"
        )
        rule = ImageRule("mine:*", command=("python3", str(program)))
        rig = make_rig(configuration=Configuration(images=(rule,)))
        rig.model("m", archive({"word.txt": "hello"}), OWN)
        async with rig.running():
            await rig.serve("e", rig.config("c", "m"))
            assert (await ask(rig, "e", "a")).body == b"word.txt"

    asyncio.run(work())


def test_the_platform_is_at_hand(own, archive):
    """boto3 in inference.py reaches this platform, and no other."""

    async def work():
        names = ["AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "TOKEN", "LD_PRELOAD"]
        script = (
            "import json, os\ndef model_fn(d): return None\n"
            f"def transform_fn(m, d, c, a): return json.dumps([os.environ.get(name) for name in {names}])\n"
        )
        own.model("m", archive({"code/inference.py": script}), OWN, Environment={"TOKEN": "t"})
        async with own.running():
            await own.serve("e", own.config("c", "m"))
            found = json.loads((await ask(own, "e", "a")).body)
            assert found == [own.settings.url, "us-east-1", "clary", "t", None]

    asyncio.run(work())
