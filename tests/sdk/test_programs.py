"""The programs of examples/, as written for AWS, run to their end and come to the right answers."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clary.client import gateway
from clary.client.patches.pauses import PAUSE

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

SOURCES = (".py", ".sh", ".ipynb")

pytestmark = pytest.mark.slow


def right(output: str, of: int = 12) -> int:
    """How many of the pictures that a program asks the endpoint about."""
    (count,) = re.findall(rf"\b(\d+) of {of} pictures right$", output, re.MULTILINE)
    return int(count)


def nothing_left_this_machine(output: str) -> None:
    """The proxy of these programs is a closed port, and names of other machines mean nothing in the tests."""
    assert not re.search(r"127\.0\.0\.1:9\b|(Proxy|Connection|NameResolution)Error|will collect telemetry", output)


def waits_in_small_steps(finished: Any) -> None:
    """SDK v1 and v2 pause for up to 30 s between two questions, boto3's and the CLI's waiters for 120."""
    assert finished.pauses
    assert max(finished.pauses) <= PAUSE


def test_v1(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"^811284229777\.\S+/image-classification:latest$", finished.output, re.MULTILINE)
    assert re.search(r"Epoch\[2\] Validation-accuracy=\d\.\d{6}", finished.output)
    assert "Completed - Training job completed" in finished.output
    assert right(finished.output) >= 11
    waits_in_small_steps(finished)
    nothing_left_this_machine(finished.output)


def test_v1_in_local_mode(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"^model file:///\S+/model/model\.tar\.gz \['model\.tar\.gz'\]$", finished.output, re.MULTILINE)
    assert right(finished.output) > 0
    nothing_left_this_machine(finished.output)


def test_v2_in_local_mode(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"Epoch\[0\] Validation-accuracy=\d\.\d{6}", finished.output)
    assert re.search(r"^model file:///\S+/out/model\.tar\.gz \['model\.tar\.gz'\]$", finished.output, re.MULTILINE)
    assert right(finished.output) > 0
    assert re.search(r"^script's model file:///\S+/model\.tar\.gz True$", finished.output, re.MULTILINE)
    assert re.search(r"^refused .*: the instance type local_gpu cannot be had: ", finished.output, re.MULTILINE)
    nothing_left_this_machine(finished.output)


def test_v3_in_local_mode(finished):
    assert finished.code == 0, finished.output
    assert "artifacts ['model.tar.gz']" in finished.output
    assert "artifacts of the script ['model.tar.gz', 'output.tar.gz']" in finished.output
    assert right(finished.output) > 0
    nothing_left_this_machine(finished.output)


def test_v2(finished):
    assert finished.code == 0, finished.output
    waits_in_small_steps(finished)
    assert "Found endpoint" not in finished.output
    assert "role arn:aws:iam::000000000000:role/" in finished.output
    assert "bucket sagemaker-us-east-1-000000000000" in finished.output
    assert re.search(r"Starting - .*\n", finished.output)
    assert re.search(r"Epoch\[2\] Validation-accuracy=\d\.\d{6}", finished.output)
    assert "Completed - Training job completed" in finished.output
    assert re.search(
        r"model s3://\S+/classify-v2/channels/output/image-classification-\S+/output/model\.tar\.gz", finished.output
    )
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


@pytest.mark.pets
def test_v2_on_real_pets(finished):
    assert finished.code == 0, finished.output
    assert right(finished.output, of=235) >= 0.9 * 235
    nothing_left_this_machine(finished.output)


def test_v3(finished):
    assert finished.code == 0, finished.output
    waits_in_small_steps(finished)
    assert re.search(r"Epoch\[2\] Validation-accuracy=\d\.\d{6}", finished.output)
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


def test_boto3(finished):
    assert finished.code == 0, finished.output
    waits_in_small_steps(finished)
    assert re.search(r"^validation:accuracy [01]\.\d{4}$", finished.output, re.MULTILINE)
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


def test_cli(finished):
    assert finished.code == 0, finished.output
    assert max(finished.pauses, default=0) <= PAUSE
    assert len(re.findall(r"Epoch\[\d\] Validation-accuracy=", finished.output)) == 3
    assert "endpoint InService" in finished.output
    (scores,) = re.findall(r"^scores of .*: \[(.*)\]$", finished.output, re.MULTILINE)
    assert sum(map(float, scores.split(","))) == pytest.approx(1, abs=1e-3)
    nothing_left_this_machine(finished.output)


def test_cli_syncs_once(finished):
    assert finished.code == 0, finished.output
    lines = finished.output.splitlines()
    steps = {name: lines.index(name) for name in ("first up", "second up", "first down", "second down", "done")}
    assert steps["second up"] - steps["first up"] == 4, finished.output
    assert steps["first down"] - steps["second up"] == 1, finished.output
    assert steps["second down"] - steps["first down"] == 4, finished.output
    assert steps["done"] - steps["second down"] == 1, finished.output
    nothing_left_this_machine(finished.output)


def test_notebook(finished):
    assert finished.code == 0, finished.output
    assert "validation:accuracy" in finished.output
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


def says_why(finished: Any) -> None:
    """In one line, and no traceback of a waiter that knows nothing."""
    assert finished.code == 1
    last = finished.output.splitlines()[-1]
    assert re.match(
        r"\S+ failed: ClientError: The value 'much' is not valid for the 'learning_rate' hyperparameter", last
    )
    assert "Traceback" not in finished.output


def test_boto3_says_why_a_job_failed(finished):
    says_why(finished)


def test_boto3_says_why_detection_failed(finished):
    says_why(finished)


def test_boto3_says_why_segmentation_failed(finished):
    says_why(finished)


def test_v2_says_why_a_job_failed(finished):
    assert finished.code == 0, finished.output
    raised = re.findall(
        r"^raised Failed Error for Training job \S+: Failed\. Reason: (.*)", finished.output, re.MULTILINE
    )
    assert ["learning_rate" in reason for reason in raised] == [True, False]
    # With logs it looks at a job by the clock, every half a minute.
    assert max(map(float, re.findall(r"^after (\S+) s$", finished.output, re.MULTILINE))) < 10
    nothing_left_this_machine(finished.output)


def mean_iou(output: str, over: int = 8) -> float:
    """What a program says of the masks of as many pictures."""
    (found,) = re.findall(rf"\bmean IoU ([01]\.\d{{4}}) over {over} pictures; of the classes \[", output, re.MULTILINE)
    return float(found)


def in_order(output: str) -> None:
    """A script's own lines, of both streams, as it wrote them."""
    lines = [line for line in output.splitlines() if re.search(r"\b(after )?epoch \d+\b", line)]
    numbers = [re.search(r"(after )?epoch (\d+)", line) for line in lines]
    told = [(int(found[2]), bool(found[1])) for found in numbers if found]
    assert told == [(epoch, after) for epoch in range(1, 61) for after in (False, True)]


def test_v1_runs_a_script(finished):
    """As a job, and once more in local mode."""
    assert finished.code == 0, finished.output
    job, model, local = finished.output.partition("model s3://")
    for output in (job, local):
        in_order(output)
        assert re.search(r"train accuracy=1\.0000; nesterov 'True' crop '\[1, 2\]'", output)
        assert "pytorch 1.5.0 py3 was asked for; this is torch 2." in output
    assert model
    assert re.search(r"^in local mode file:///\S+/out/model\.tar\.gz \[.*'model\.tar\.gz'.*\]$", local, re.MULTILINE)
    nothing_left_this_machine(finished.output)


def test_v2_runs_a_script(finished):
    assert finished.code == 0, finished.output
    in_order(finished.output)
    assert "hosts ['algo-1'] rank 0 of 0 GPUs" in finished.output
    assert re.search(r"train accuracy=1\.0000; nesterov 'True' crop '\[1, 2\]'", finished.output)
    assert "pytorch 2.1 py310 was asked for; this is torch 2." in finished.output
    assert "Reporting training SUCCESS" in finished.output
    assert "files ['model.pt']" in finished.output
    assert "metrics {'train:accuracy': 1.0}" in finished.output
    nothing_left_this_machine(finished.output)


def test_v2_trains_and_serves_tensorflow(finished):
    assert finished.code == 0, finished.output
    assert "tensorflow 2.8 py39 was asked for; this is tensorflow 2." in finished.output
    # The SDK's own hyperparameter, which a script may take for a place in S3 only.
    assert re.search(r"model_dir s3://\S+/tensorflow-training-\S+/model keras tf_keras\.", finished.output)
    for word in ("classes", "named", "csv", "handled"):
        assert f"{word} [0, 1]" in finished.output
    refused = re.search(r"^refused Received client error \(400\) from primary with message .*$", finished.output, re.M)
    assert refused
    assert "is not of expected type: float" in refused[0]
    nothing_left_this_machine(finished.output)


def test_unet_as_a_plain_program(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"^\d+ files of s3://unet-plain/pets/ in pets$", finished.output, re.MULTILINE)
    assert "drawn ['curves.png', 'pictures.png', 'predictions.png']" in finished.output
    assert "saved ['saved_model.pb']" in finished.output
    assert float(re.findall(r"^validation mean IoU: (\S+) \(pet ", finished.output, re.MULTILINE)[0]) > 0.4
    nothing_left_this_machine(finished.output)


def test_v2_trains_a_unet(finished):
    assert finished.code == 0, finished.output
    assert len(re.findall(r" - val_mean_iou: \d\.\d+", finished.output)) == 6
    assert re.search(r"^model s3://\S+/unet/unet/output/tensorflow-training-\S+/model\.tar\.gz$", finished.output, re.M)
    assert mean_iou(finished.output, over=12) > 0.4
    assert "drawn answer.png, curves.png, pictures.png, predictions.png" in finished.output
    nothing_left_this_machine(finished.output)


@pytest.mark.long
def test_notebook_trains_a_unet(finished):
    assert finished.code == 0, finished.output
    assert "val_mean_iou" in finished.output
    assert float(re.findall(r"^(\S+)% of the pixels right$", finished.output, re.MULTILINE)[0]) > 60
    nothing_left_this_machine(finished.output)


@pytest.mark.long
@pytest.mark.pets
def test_v2_trains_a_unet_on_real_pets(finished):
    assert finished.code == 0, finished.output
    (found,) = re.findall(r"^validation mean IoU: (\S+) \(pet ", finished.output, re.MULTILINE)
    assert float(found) >= 0.60
    assert mean_iou(finished.output, over=12) >= 0.55  # a few of those, as the endpoint sees them
    nothing_left_this_machine(finished.output)


@pytest.mark.long
def test_v2_tells_cats_from_dogs(finished):
    assert finished.code == 0, finished.output
    assert "classes: cat, dog" in finished.output
    assert right(finished.output, of=12) >= 8  # 6 by chance, none where labels are swapped
    nothing_left_this_machine(finished.output)


def test_notebook_tells_cats_from_dogs(finished):
    assert finished.code == 0, finished.output
    assert "val_accuracy" in finished.output
    assert right(finished.output, of=12) >= 8  # 6 by chance, none where labels are swapped
    nothing_left_this_machine(finished.output)


@pytest.mark.long
@pytest.mark.pets
def test_v2_tells_real_cats_from_dogs(finished):
    assert finished.code == 0, finished.output
    assert right(finished.output, of=235) >= 0.95 * 235
    nothing_left_this_machine(finished.output)


def test_v3_runs_a_script(finished):
    assert finished.code == 0, finished.output
    in_order(finished.output)
    assert re.search(r"train accuracy=1\.0000; nesterov 'true' crop '\[1, 2\]'", finished.output)
    assert "status Completed" in finished.output
    nothing_left_this_machine(finished.output)


def fine_tuned(output: str, of: int = 12) -> None:
    """The breeds example, on colours."""
    assert re.search(r"epoch 3: valid_loss=\d+\.\d{4}; valid_accuracy=[01]\.\d{4};$", output, re.MULTILINE)
    (accuracy,) = re.findall(r"test_accuracy=([01]\.\d{4});$", output, re.MULTILINE)
    assert float(accuracy) >= 0.9
    # Served they are classified as they were tested.
    assert right(output, of) == round(float(accuracy) * of)


def test_v1_fine_tunes_breeds(finished):
    assert finished.code == 0, finished.output
    fine_tuned(finished.output)
    nothing_left_this_machine(finished.output)


def test_v2_fine_tunes_breeds(finished):
    assert finished.code == 0, finished.output
    fine_tuned(finished.output)
    assert re.search(
        r"^model s3://\S+/breeds-v2/breeds/output/pytorch-training-\S+/output/model\.tar\.gz$",
        finished.output,
        re.MULTILINE,
    )
    for name in ("train:loss", "valid:accuracy", "test:accuracy"):
        assert re.search(rf"^{name} \d\.\d{{4}}$", finished.output, re.MULTILINE)
    nothing_left_this_machine(finished.output)


def test_v3_fine_tunes_breeds(finished):
    assert finished.code == 0, finished.output
    fine_tuned(finished.output)
    nothing_left_this_machine(finished.output)


@pytest.mark.long  # its cells are those of breeds_v2.py, which CI runs
def test_notebook_fine_tunes_breeds(finished):
    assert finished.code == 0, finished.output
    assert "test:accuracy" in finished.output
    assert right(finished.output) >= 11
    nothing_left_this_machine(finished.output)


@pytest.mark.long  # minutes; CI fine-tunes on colours
@pytest.mark.pets
def test_v2_fine_tunes_real_breeds(finished):
    assert finished.code == 0, finished.output
    assert right(finished.output, of=235) >= 0.95 * 235
    nothing_left_this_machine(finished.output)


def test_v2_runs_a_script_of_scikit_learn(finished):
    assert finished.code == 0, finished.output
    assert "scikit-learn 0.23-1 py3 was asked for; this is sklearn 1." in finished.output
    assert "train accuracy=1.0000" in finished.output
    assert "sklearn.externals.joblib is gone since scikit-learn 0.23: import joblib; for this script" in finished.output
    assert "files ['model.joblib']" in finished.output
    nothing_left_this_machine(finished.output)


@pytest.mark.long  # installs XGBoost
def test_v2_runs_a_script_of_xgboost(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"\[4\]\ttrain-rmse:0\.\d+", finished.output)
    assert "files ['xgboost-model']" in finished.output


@pytest.mark.long  # installs Transformers
def test_v2_runs_a_script_of_hugging_face(finished):
    assert finished.code == 0, finished.output
    assert "eval_accuracy = 1.0" in finished.output
    assert "TrainingArguments(evaluation_strategy) is gone since" in finished.output
    assert "model.safetensors" in finished.output


def prepared_channels(output: str) -> None:
    """Of the 24 pictures of three colours each is in one of two channels, and stands in its list."""
    assert re.search(r"^Completed: 24 pictures$", output, re.MULTILINE), output
    objects = dict(re.findall(r"^(\w+): (\d+) objects in s3://\S+$", output, re.MULTILINE))
    assert objects == {"train": "18", "validation": "6", "train_lst": "1", "validation_lst": "1"}
    nothing_left_this_machine(output)


def test_v2_processes(finished):
    assert finished.code == 0, finished.output
    prepared_channels(finished.output)
    assert "validation: " in finished.output  # the script's own words, streamed
    assert "pytorch 2.1 py310 was asked for; this is torch 2." in finished.output
    waits_in_small_steps(finished)


def test_v3_processes(finished):
    assert finished.code == 0, finished.output
    prepared_channels(finished.output)
    assert "Files after extraction:" in finished.output
    waits_in_small_steps(finished)


def test_boto3_processes(finished):
    assert finished.code == 0, finished.output
    prepared_channels(finished.output)
    waits_in_small_steps(finished)


def test_v2_processes_as_notebooks_do(finished):
    assert finished.code == 0, finished.output
    lines = finished.output.splitlines()
    assert "shapes (15, 2) (5, 2) test" in finished.output
    assert [one for one in lines if re.match("status|t.*_data", one)] == [
        "status Completed",
        "train_data 15",
        "test_data 5",
    ]
    (attached,) = [one for one in lines if one.startswith("attached")]
    assert "'/opt/ml/processing/input/code'" in attached
    assert attached.endswith("['/opt/ml/processing/train', '/opt/ml/processing/test']")
    assert re.search(
        r"^raised Error for Processing job sagemaker-scikit-learn-\S+: Failed\. Reason: "
        r"AlgorithmError: See job logs for more information, exit code: 3",
        finished.output,
        re.MULTILINE,
    )
    assert "about to fail" in finished.output
    assert "stopped Stopped" in lines
    assert "shapes (14, 2) (6, 2) local" in finished.output
    assert "listed true" in lines
    nothing_left_this_machine(finished.output)


def test_v3_processes_in_local_mode(finished):
    assert finished.code == 0, finished.output
    assert "has written" in finished.output
    assert "made made" in finished.output.splitlines()
    nothing_left_this_machine(finished.output)


def test_v2_detects(finished):
    assert finished.code == 0, finished.output
    assert "#quality_metric: host=algo-1, epoch=7, validation mAP <score>=(" in finished.output
    assert re.search(r"model s3://\S+/detect-v2/boxes/output/object-detection-\S+/model\.tar\.gz", finished.output)
    assert right(finished.output, of=8) >= 6
    nothing_left_this_machine(finished.output)


@pytest.mark.pets
def test_v2_detects_on_real_pets(finished):
    assert finished.code == 0, finished.output
    assert right(finished.output, of=58) >= 0.6 * 58
    nothing_left_this_machine(finished.output)


def test_v3_detects(finished):
    assert finished.code == 0, finished.output
    assert right(finished.output, of=8) >= 6
    nothing_left_this_machine(finished.output)


def test_boto3_detects(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"^validation:mAP [01]\.\d{4}$", finished.output, re.MULTILINE)
    assert right(finished.output, of=8) >= 6
    nothing_left_this_machine(finished.output)


def test_cli_detects(finished):
    assert finished.code == 0, finished.output
    assert len(re.findall(r"validation mAP <score>=", finished.output)) == 8
    assert "endpoint InService" in finished.output
    ((row, annotation),) = re.findall(r"^best box of \S+: (.*)\ntrue boxes: (.*)$", finished.output, re.MULTILINE)
    class_id, score, *best = map(float, row.split(","))
    told = json.loads(annotation)
    assert 0.01 < score <= 1
    assert class_id in {box["class_id"] for box in told["annotations"]}
    assert all(0 <= place <= 1 for place in best)
    nothing_left_this_machine(finished.output)


def test_v2_segments(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"#quality_metric\. host: algo-1, epoch: 9, validation mIOU: [01]\.\d+ \.", finished.output)
    assert "train: has the 24 files of train_annotation as well, left out" in finished.output
    assert "left out: " not in finished.output
    assert mean_iou(finished.output) >= 0.6
    assert re.search(
        r"^probabilities of shape \[1, 4, 80, 96\], of the mask's class in 100\.00% of the pixels$",
        finished.output,
        re.MULTILINE,
    )
    nothing_left_this_machine(finished.output)


@pytest.mark.pets
def test_v2_segments_on_real_pets(finished):
    assert finished.code == 0, finished.output
    assert mean_iou(finished.output, over=59) >= 0.6
    assert re.search(r"of the mask's class in (100\.00|99\.\d\d)% of the pixels$", finished.output, re.MULTILINE)
    nothing_left_this_machine(finished.output)


def test_v3_segments(finished):
    assert finished.code == 0, finished.output
    assert mean_iou(finished.output) >= 0.6
    nothing_left_this_machine(finished.output)


def test_boto3_segments(finished):
    assert finished.code == 0, finished.output
    assert re.search(r"^validation:mIOU [01]\.\d{4}$", finished.output, re.MULTILINE)
    assert re.search(r"^validation:pixel_accuracy [01]\.\d{4}$", finished.output, re.MULTILINE)
    assert mean_iou(finished.output) >= 0.6
    nothing_left_this_machine(finished.output)


def test_cli_segments(finished):
    assert finished.code == 0, finished.output
    assert len(re.findall(r"validation mIOU: ", finished.output)) == 16
    assert "endpoint InService" in finished.output
    ((image, found),) = re.findall(r"^mask of (\S+): (\S+mask\.png)$", finished.output, re.MULTILINE)
    truth = Path(image.replace("/validation/", "/validation_annotation/")).with_suffix(".png")
    with Image.open(found) as mask, Image.open(truth) as wanted:
        assert np.mean(np.array(mask) == np.array(wanted)) >= 0.8
    nothing_left_this_machine(finished.output)


@pytest.mark.parametrize(
    "name", sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*") if path.suffix in SOURCES)
)
def test_programs_know_nothing_of_this_platform(name):
    text = (EXAMPLES / name).read_text().lower()
    assert "clary" not in text
    assert "endpoint_url" not in text
    assert "endpoint-url" not in text
    assert "localhost" not in text
    assert "127.0.0" not in text


def test_without_a_running_platform_run_starts_one_for_the_time_of_the_program(tmp_path, cli):
    program = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
    out = tmp_path / "out"
    code, _, told = cli(
        "run", "--home", tmp_path / "home", "sh", "-c", f'{sys.executable} -c "{program}" > {out}; exit 7'
    )
    assert (code, out.read_text()) == (7, "000000000000\n")
    assert "no platform runs; starting one for the time of this command" in told
    with pytest.raises(gateway.NotRunningError):
        gateway.running(tmp_path / "home")


def test_v1_serves_its_own_code(finished):
    assert finished.code == 0, finished.output
    assert "npy (2, 3)" in finished.output
    assert "rows 2" in finished.output
    nothing_left_this_machine(finished.output)


def test_v2_serves_its_own_code(finished):
    assert finished.code == 0, finished.output
    for line in ("npy ndarray (2, 3)", "csv 2", "json (1, 3)", "rows 2", "in local mode 1"):
        assert f"{line}\n" in finished.output
    assert right(finished.output) >= 11
    refused = re.search(
        r'^refused .*server error \(500\) from primary with message "(.*)$', finished.output, re.MULTILINE
    )
    assert refused
    assert refused[1] == "Requested unsupported ContentType in content_type: text/csv"
    nothing_left_this_machine(finished.output)


def test_v3_serves_its_own_code(finished):
    assert finished.code == 0, finished.output
    assert "answer {'predictions': [3, 6]}" in finished.output
    nothing_left_this_machine(finished.output)
