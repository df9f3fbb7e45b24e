"""Pictures and trimaps of the Oxford-IIIT Pet data set: from S3 to a folder, from a folder to ``tf.data``.

images/Abyssinian_1.jpg                  a picture
annotations/trimaps/Abyssinian_1.png     as large as it: 1 pet, 2 background, 3 the border between them
annotations/trainval.txt, test.txt       which are for training and which are held out, one a line
"""

import os
from concurrent.futures import ThreadPoolExecutor

import boto3
import tensorflow as tf


def download(bucket, prefix, folder):
    """Copy what lies under ``s3://bucket/prefix/`` into ``folder``, but for files that are there already."""
    s3 = boto3.client("s3")
    prefix = prefix.rstrip("/") + "/"
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    objects = [entry for page in pages for entry in page.get("Contents", ()) if not entry["Key"].endswith("/")]
    if not objects:
        raise FileNotFoundError(f"s3://{bucket}/{prefix} holds no objects")

    def fetch(entry):
        path = os.path.join(folder, entry["Key"][len(prefix) :])
        if not os.path.exists(path) or os.path.getsize(path) != entry["Size"]:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            s3.download_file(bucket, entry["Key"], path)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(fetch, objects))
    print(f"{len(objects)} files of s3://{bucket}/{prefix} in {folder}")


def names_of(folder, split):
    """The names of the pictures of ``trainval`` or ``test``."""
    with open(os.path.join(folder, "annotations", f"{split}.txt")) as lines:
        return [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]


def read(picture, trimap):
    """Decode a picture to (height, width, 3) and its trimap to (height, width, 1), values from 0 to 255."""
    # Some pictures of the set are PNG or GIF under the name of a JPEG.
    picture = tf.io.decode_image(tf.io.read_file(picture), channels=3, expand_animations=False)
    trimap = tf.io.decode_png(tf.io.read_file(trimap), channels=1)
    return tf.ensure_shape(picture, (None, None, 3)), trimap


def load(folder, split):
    """A dataset of the decoded pictures of ``split``, each with its trimap, in the order of the list."""
    names = names_of(folder, split)
    pictures = [os.path.join(folder, "images", f"{name}.jpg") for name in names]
    trimaps = [os.path.join(folder, "annotations", "trimaps", f"{name}.png") for name in names]
    files = tf.data.Dataset.from_tensor_slices((pictures, trimaps))
    return files.map(read, num_parallel_calls=tf.data.AUTOTUNE)
