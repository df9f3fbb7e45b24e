"""What of a request's Environment a program of ours gets."""

from __future__ import annotations

import pytest

from clary.control.jobs.environment import platform_variables, program_variables
from clary.control.jobs.launch import Algorithm, Command, Launch
from clary.control.request_environment import for_our_program

NAMES = """
HF_ENDPOINT MPLBACKEND CC CXX CFLAGS COVERAGE_PROCESS_START BOTO_CONFIG
LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT DYLD_INSERT_LIBRARIES GLIBC_TUNABLES MALLOC_PERTURB_ GCONV_PATH HOSTALIASES
PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONINSPECT PYTHONUNBUFFERED VIRTUAL_ENV PIP_INDEX_URL BASH_ENV ENV IFS PATH
HOME TMPDIR XDG_CONFIG_HOME GIT_SSH_COMMAND OPENSSL_CONF SSL_CERT_FILE SSLKEYLOGFILE https_proxy NO_PROXY
CUDA_INJECTION64_PATH OMP_TOOL_LIBRARIES TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD AWS_ENDPOINT_URL AWS_CONFIG_FILE
TORCH_HOME HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME MPLCONFIGDIR TORCH_EXTENSIONS_DIR CUDA_CACHE_PATH
PYTORCH_KERNEL_CACHE_PATH NCCL_DEBUG_FILE NCCL_TOPO_FILE KMP_CPUINFO_FILE LLVM_PROFILE_FILE GCOV_PREFIX ASAN_OPTIONS
ONEDNN_JIT_DUMP DNNL_JIT_DUMP ONEDNN_JIT_PROFILE TORCH_TRACE TORCH_LOGS_OUT TORCH_COMPILE_DEBUG TRITON_KERNEL_DUMP
TORCHDYNAMO_REPRO_AFTER CUDA_ENABLE_COREDUMP_ON_EXCEPTION KINETO_CONFIG SAGEMAKER_SUBMIT_DIRECTORY
CLARY_HOME CLARY_PRECISION_CACHE CLARY_JOB_FOLDER CLARY_PICTURES CLARY_WEIGHTS SAGEMAKER_BASE_DIR TRAINING_JOB_NAME
"""
HARMLESS = {
    "OMP_NUM_THREADS": "2",
    "MKL_NUM_THREADS": "2",
    "KMP_AFFINITY": "granularity=fine,compact,1,0",
    "CUDA_VISIBLE_DEVICES": "0,1",
    "NCCL_DEBUG": "INFO",
    "ONEDNN_VERBOSE": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
    "HF_TOKEN": "hf_abc",
    "TZ": "Europe/Berlin",
    "LC_ALL": "C.UTF-8",
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
    "SM_HP_LR": "0.1",
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000/a/b",
    "BUCKET": "s3://bucket/some/prefix",
    "RATIO": "1/2",
    "MY_FLAG": "a b\n=c",
    "EMPTY": "",
}


@pytest.mark.parametrize("name", NAMES.split())
def test_names_that_act_on_the_platform_or_the_loader(name):
    assert for_our_program({name: "1", **HARMLESS}) == (HARMLESS, (name,))


@pytest.mark.parametrize(
    "value",
    ["/etc/passwd", "~/.bashrc", "a:/b", "file=/x", "x,/y", "a /b", "../x", "a/../b", ":/etc/tz", "file:///x", "//x"],
)
def test_values_that_name_files_outside_the_job(value):
    assert for_our_program({"SOME_LIBRARYS_OWN": value}) == ({}, ("SOME_LIBRARYS_OWN",))


def test_a_program_of_the_users_gets_all_of_it_one_of_ours_the_rest(tmp_path):
    given = {"LD_PRELOAD": "x.so", "A": "1", "AWS_REGION": "mine"}
    own = {"AWS_REGION": "us-east-1", "PATH": "/bin"}
    ours = Launch(
        "job", tmp_path, tmp_path / "log", program=Algorithm("image-classification"), environment=own, given=given
    )
    theirs = Launch("job", tmp_path, tmp_path / "log", program=Command(("a",)), environment=own, given=given)
    assert program_variables(ours) == {**own, "A": "1"}
    assert program_variables(theirs) == {**own, **given}
    assert platform_variables(theirs) == own
