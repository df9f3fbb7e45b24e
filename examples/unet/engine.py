"""Segment pets: load the pictures, show them, train a U-Net, show what it says, save it.

    python engine.py --bucket BUCKET --prefix pets --weights FOLDER

As the entry point of a SageMaker training job its files come through the channels ``pets`` and ``weights``.
"""

import argparse
import os

import keras

import load_data
import plot
import process
import train
from model import unet


def parse_args():
    environ = os.environ
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=0.003)
    parser.add_argument("--image-size", type=int, default=160, help="pixels, a multiple of 32")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bucket", help="the pictures' bucket, where they come through no channel")
    parser.add_argument("--prefix", default="pets", help="where in the bucket they are")
    parser.add_argument("--pets", default=environ.get("SM_CHANNEL_PETS"), help="the folder of the pictures")
    parser.add_argument("--weights", default=environ.get("SM_CHANNEL_WEIGHTS"), help="the folder of mobilenet_v2.keras")
    parser.add_argument("--sm-model-dir", default=environ.get("SM_MODEL_DIR", "model"))
    parser.add_argument("--output-data-dir", default=environ.get("SM_OUTPUT_DATA_DIR", "output"))
    parser.add_argument("--model_dir", help="where SageMaker's estimator would have checkpoints in S3; not used")
    args = parser.parse_args()
    if not (args.bucket or args.pets):
        parser.error("name --bucket, or a folder with --pets")
    return args


def few(dataset, count=6):
    """Some pictures of all over ``dataset``: its list goes breed by breed."""
    return dataset.shard(max(1, len(dataset) // count), 0).take(count)


def main():
    args = parse_args()
    keras.utils.set_random_seed(args.seed)
    folder = args.pets or "pets"
    if not args.pets:
        load_data.download(args.bucket, args.prefix, folder)
    known, held_out = load_data.load(folder, "trainval"), load_data.load(folder, "test")
    training = process.batches(known, args.image_size, args.batch_size, training=True)
    validation = process.batches(held_out, args.image_size, args.batch_size)
    os.makedirs(args.output_data_dir, exist_ok=True)
    shown = process.batches(few(known), args.image_size, 6)
    plot.masks(shown, os.path.join(args.output_data_dir, "pictures.png"))

    model = unet(args.image_size, len(process.CLASSES), args.weights)
    history = train.fit(model, training, validation, args.epochs, args.learning_rate)
    train.save(model, args.sm_model_dir)

    plot.curves(history, os.path.join(args.output_data_dir, "curves.png"))
    shown = process.batches(few(held_out), args.image_size, 6)
    plot.masks(shown, os.path.join(args.output_data_dir, "predictions.png"), model)
    found = train.overlaps(model, validation)
    classes = ", ".join(f"{name} {value:.4f}" for name, value in zip(process.CLASSES, found, strict=True))
    print(f"validation mean IoU: {found.mean():.4f} ({classes})")


if __name__ == "__main__":
    main()
