"""The hook in real Python processes, with the real botocore."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clary.client.environment import HOOK, changes
from clary.control.home import Server

SOURCE = HOOK / "sitecustomize.py"
PATCHES = HOOK.with_name("patches")
NAMED = """
import botocore.session
s = botocore.session.Session()
client = s.create_client("sts", endpoint_url={url!r}, region_name={region!r}, config=__import__("botocore.config")
    .config.Config(connect_timeout=1, retries={{"total_max_attempts": 1}}))
print(client.get_caller_identity()["Arn"])
"""


def python(
    program: str, *path: Path, endpoint: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CLARY_", "PYTHON"))}
    environ |= {"PYTHONPATH": os.pathsep.join(map(str, (HOOK, *path))), "AWS_EC2_METADATA_DISABLED": "true"}
    environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "NO_PROXY": "127.0.0.1"}
    environ |= {"CLARY_ENDPOINT": endpoint, "AWS_ENDPOINT_URL": endpoint} if endpoint else {}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environ | variables, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sts.us-east-1.amazonaws.com", "us-east-1"),
        ("https://STS.eu-west-1.amazonaws.com:443/", "eu-west-1"),
        ("https://sts.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        (None, "us-east-1"),
    ],
)
def test_aws_hosts_that_a_program_names_go_to_the_gateway_signed_for_it(listening, url, region):
    done = python(NAMED.format(url=url, region=region), endpoint=listening.url)
    assert done.stdout == "arn:aws:sts::000000000000:assumed-role/Role/here\n", done.stderr
    ((host, scope),) = listening.calls
    assert f"http://{host}" == listening.url
    assert re.fullmatch(rf"key/\d{{8}}/{region}/sts/aws4_request", scope)


def test_a_proxy_does_not_come_between(listening, tmp_path):
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    server = Server(listening.url, 1, "0.1.0", str(tmp_path), "us-east-1", 0.0)
    variables = changes(server, proxies).applied(proxies)
    done = python(NAMED.format(url="https://sts.us-east-1.amazonaws.com", region="us-east-1"), **variables)
    assert done.returncode == 0, done.stderr
    assert len(listening.calls) == 1


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_other_hosts_are_left_alone(listening, name):
    url = listening.url.replace("127.0.0.1", name)
    done = python(NAMED.format(url=url, region="us-east-1"), endpoint="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert listening.calls[0][0].startswith(name)


@pytest.mark.parametrize("host", ["amazonaws.com.evil.test", "sts.amazonaws.com.test", "notamazonaws.com", "x@y.test"])
def test_hosts_that_only_look_like_aws_are_left_alone(listening, host):
    program = f"import sitecustomize as s; b = {{'SDK::Endpoint': 'https://{host}/'}}; s._to_gateway(b); print(b)"
    assert host in python(program, endpoint=listening.url).stdout


def test_an_old_botocore_that_reads_no_variables_is_sent_to_the_gateway(listening):
    program = """
import sitecustomize, botocore.configprovider
del botocore.configprovider.ConfiguredEndpointProvider
b = {"SDK::Endpoint": None}
sitecustomize._to_gateway(b)
print(b["SDK::Endpoint"])
"""
    assert python(program, endpoint=listening.url).stdout == listening.url + "\n"


def test_without_the_variable_nothing_at_all_is_changed():
    program = """
import sys
print([getattr(f, "__module__", "") for f in sys.meta_path if f.__module__ == "sitecustomize"])
import botocore
print(botocore._INITIALIZERS, botocore.__spec__.loader.__class__.__name__)
"""
    assert python(program).stdout == "[]\n[] SourceFileLoader\n"


def test_the_module_is_as_if_imported_without_the_hook():
    program = """
import importlib, inspect, pkgutil, sys
import botocore
print(type(botocore.__spec__.loader).__name__, type(botocore.__loader__).__name__)
data = pkgutil.get_data("botocore", "cacert.pem")
print(len(botocore._INITIALIZERS), "botocore" in inspect.getsource(botocore), len(data) > 9)
importlib.reload(botocore)
"""
    done = python(program, endpoint="http://127.0.0.1:9")
    assert (done.stdout, done.stderr) == ("SourceFileLoader SourceFileLoader\n1 True True\n", "")


def test_a_program_without_botocore_gets_the_usual_error_and_may_have_it_later():
    program = """
import sys
path, sys.path = sys.path, [p for p in sys.path if "site-packages" not in p]
for _ in range(2):
    try:
        import botocore
    except ModuleNotFoundError as error:
        print(error)
sys.path = path
import botocore
print(len(botocore._INITIALIZERS))
"""
    done = python(program, endpoint="http://127.0.0.1:9")
    assert done.stdout == "No module named 'botocore'\n" * 2 + "1\n", done.stderr


@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9"])
def test_the_next_sitecustomize_runs_as_if_it_stood_alone(tmp_path, endpoint):
    (tmp_path / "sitecustomize.py").write_text("import sys; print('theirs', __name__, __file__); answer = 42\n")
    program = "import sitecustomize, botocore; print(sitecustomize.answer, len(botocore._INITIALIZERS))"
    done = python(program, tmp_path, endpoint=endpoint)
    assert done.stdout == f"theirs sitecustomize {tmp_path}/sitecustomize.py\n42 {int(endpoint is not None)}\n"


def test_an_error_in_the_next_sitecustomize_is_told_as_python_tells_it_and_the_hook_works(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("1 / 0\n")
    program = "import botocore; print(len(botocore._INITIALIZERS))"
    done = python(program, tmp_path, endpoint="http://127.0.0.1:9")
    assert done.stdout == "1\n"
    assert done.stderr.startswith("Error in sitecustomize")
    assert "ZeroDivisionError" in done.stderr


def test_a_botocore_that_was_imported_before_is_reached_too(tmp_path):
    other = tmp_path / "first"
    other.mkdir()
    (other / "sitecustomize.py").write_text(f"import botocore, runpy; runpy.run_path({str(SOURCE)!r})\n")
    program = "import botocore; print(len(botocore._INITIALIZERS))"
    done = python(program, endpoint="http://127.0.0.1:9", PYTHONPATH=str(other))
    assert done.stdout == "1\n", done.stderr


def test_it_costs_next_to_nothing():
    def cost() -> int:
        command = [sys.executable, "-X", "importtime", "-c", "pass"]
        environ = os.environ | {"PYTHONPATH": str(HOOK), "CLARY_ENDPOINT": "http://127.0.0.1:9"}
        told = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stderr
        (microseconds,) = re.findall(r"\| +(\d+) \| +sitecustomize$", told, re.MULTILINE)
        return int(microseconds)

    assert min(cost() for _ in range(5)) < 5000


def test_what_a_client_says_of_its_address_is_not_shown(listening):
    program = """
import logging, boto3
logging.basicConfig(level=logging.INFO)
boto3.client("sts", region_name="us-east-1")
logging.getLogger("sagemaker.telemetry.telemetry_logging").info("SageMaker Python SDK will collect telemetry to ...")
logging.getLogger("botocore.configprovider").info("another line")
"""
    done = python(program, endpoint=listening.url)
    assert "another line" in done.stderr
    assert not re.search("Found endpoint|collect telemetry", done.stderr)
    assert "Found endpoint" in python(program, AWS_ENDPOINT_URL=listening.url).stderr


@pytest.mark.parametrize(("endpoint", "found"), [("http://127.0.0.1:9", "_JobClock"), (None, "module")])
def test_modules_of_the_sdks_are_patched_when_they_come(tmp_path, endpoint, found):
    """Also where the program has made sys.path its own by then, and has asked whether they are there."""
    (tmp_path / "sagemaker").mkdir()
    (tmp_path / "sagemaker" / "session.py").write_text("import time\n")
    program = f"""
import sys
sys.path[:] = [{str(tmp_path)!r}, *(p for p in sys.path if "clary" not in p)]
from importlib.util import find_spec
assert find_spec("sagemaker.session") and find_spec("sagemaker.session")
import sagemaker.session
print(type(sagemaker.session.time).__name__)
"""
    done = python(program, endpoint=endpoint)
    assert (done.stdout, done.stderr) == (f"{found}\n", "")


def imports(source: Path) -> set[str | None]:
    tree = ast.parse(source.read_text(), feature_version=(3, 8))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    return imported | {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}


def test_any_python_from_3_8_on_can_read_it():
    wanted = {"__future__", "importlib.util", "logging", "os", "sys", "types", "typing"}
    assert imports(SOURCE) == wanted
    assert {path.name for path in HOOK.iterdir()} - {"__pycache__"} == {SOURCE.name}
    for patch in PATCHES.glob("*.py"):
        assert imports(patch) <= wanted | {"atexit", "collections.abc", "math", "tempfile"} | {
            "botocore.config",
            "botocore.exceptions",
            "botocore.loaders",
            "sagemaker.core.deserializers",
            "sagemaker.core.serializers",
        }
