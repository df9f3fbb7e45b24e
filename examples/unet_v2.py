"""Train the U-Net of unet/ as a SageMaker job, deploy it, and draw what it answers: SageMaker Python SDK v2.

    python unet_v2.py FOLDER [NAME=VALUE ...]

    FOLDER/pets/images/ ...                 a folder laid out as the Oxford-IIIT Pet data set is
    FOLDER/pets/annotations/ ...
    FOLDER/weights/mobilenet_v2.keras       what mobilenet_v2_weights.py writes

NAME=VALUE are further hyperparameters: the arguments of unet/engine.py. Pictures of what comes out are written to the
folder unet-output. Needs Pillow.
"""

import sys
import tarfile
from pathlib import Path

import numpy as np
import sagemaker
from PIL import Image
from sagemaker.s3 import S3Downloader
from sagemaker.tensorflow import TensorFlow

folder = Path(sys.argv[1])
pets = folder / "pets"
hyperparameters = {"epochs": 8, "image-size": 160} | dict(setting.split("=", 1) for setting in sys.argv[2:])
size = int(hyperparameters["image-size"])
output = Path("unet-output")
output.mkdir(exist_ok=True)

session = sagemaker.Session()
role = sagemaker.get_execution_role()
bucket = session.default_bucket()
prefix = f"unet/{folder.resolve().name}"

channels = {
    name: session.upload_data(str(folder / name), bucket=bucket, key_prefix=f"{prefix}/{name}")
    for name in ("pets", "weights")
}

estimator = TensorFlow(
    entry_point="engine.py",
    source_dir=str(Path(__file__).with_name("unet")),
    role=role,
    framework_version="2.16",
    py_version="py310",
    instance_count=1,
    instance_type="ml.c5.2xlarge",
    hyperparameters=hyperparameters,
    metric_definitions=[
        {"Name": "validation:mean_iou", "Regex": r"val_mean_iou: ([0-9.]+)"},
        {"Name": "validation:accuracy", "Regex": r"val_accuracy: ([0-9.]+)"},
    ],
    output_path=f"s3://{bucket}/{prefix}/output",
    sagemaker_session=session,
)
estimator.fit(channels, logs=True)
print(f"model {estimator.model_data}")

# The pictures that the job drew of its data, its training and its predictions.
stored = estimator.model_data.replace("model.tar.gz", "output.tar.gz")
S3Downloader.download(stored, str(output), sagemaker_session=session)
with tarfile.open(output / "output.tar.gz") as archive:
    archive.extractall(output, filter="data")

predictor = estimator.deploy(initial_instance_count=1, instance_type="ml.m5.xlarge")
try:
    held_out = [line.split()[0] for line in (pets / "annotations" / "test.txt").open() if not line.startswith("#")]
    counts = np.zeros((3, 3), int)  # pixels by true and by found class: pet, background, border
    asked = held_out[:: max(1, len(held_out) // 12)][:12]
    for name in asked:
        picture = Image.open(pets / "images" / f"{name}.jpg").convert("RGB")
        trimap = Image.open(pets / "annotations" / "trimaps" / f"{name}.png").resize((size, size), Image.NEAREST)
        answer = predictor.predict({"instances": [np.asarray(picture.resize((size, size))).tolist()]})
        found = np.argmax(answer["predictions"][0], axis=-1)
        np.add.at(counts, (np.asarray(trimap).ravel() - 1, found.ravel()), 1)
    iou = counts.diagonal() / np.maximum(counts.sum(0) + counts.sum(1) - counts.diagonal(), 1)
    print(f"mean IoU {iou.mean():.4f} over {len(asked)} pictures; of the classes {iou.round(4).tolist()}")

    # The last of them beside itself with the background faded.
    kept = Image.fromarray(np.uint8(np.where(found == 1, 50, 255))).resize(picture.size)
    white = Image.new("RGB", picture.size, "white")
    drawn = Image.new("RGB", (2 * picture.width, picture.height))
    drawn.paste(picture, (0, 0))
    drawn.paste(Image.composite(picture, white, kept), (picture.width, 0))
    drawn.save(output / "answer.png")
    print(f"drawn {', '.join(sorted(path.name for path in output.glob('*.png')))}")
finally:
    predictor.delete_endpoint()
