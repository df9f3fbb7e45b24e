"""Tell cats from dogs: a head on MobileNetV2, trained on folders of pictures, saved for TensorFlow Serving.

The entry point of a SageMaker training job with the channels ``train`` and ``validation``, a folder of pictures for
each class, and ``weights``: mobilenet_v2.keras, which mobilenet_v2_weights.py makes. Without it Keras loads its own
from the network.
"""

import argparse
import os

import keras
import tensorflow as tf
from keras import layers


def parse_args():
    environ = os.environ
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=0.001)
    parser.add_argument("--image-size", type=int, default=160, help="pixels; 96, 128, 160, 192 or 224")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", default=environ.get("SM_CHANNEL_TRAIN"))
    parser.add_argument("--validation", default=environ.get("SM_CHANNEL_VALIDATION"))
    parser.add_argument("--weights", default=environ.get("SM_CHANNEL_WEIGHTS"))
    parser.add_argument("--sm-model-dir", default=environ.get("SM_MODEL_DIR", "model"))
    parser.add_argument("--model_dir", help="where SageMaker's estimator would have checkpoints in S3; not used")
    return parser.parse_args()


def pictures(folder, args, shuffle=False):
    """Batches of pictures, values from 0 to 255, and the ids of their classes: folders in alphabetical order."""
    return keras.utils.image_dataset_from_directory(
        folder,
        image_size=(args.image_size, args.image_size),
        batch_size=args.batch_size,
        shuffle=shuffle,
        seed=args.seed,
    )


def augmented(dataset):
    """``dataset`` with its pictures mirrored, turned and zoomed at random, other ways in each epoch."""
    # Not in the network, which would be saved with its states of random numbers.
    change = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.05), layers.RandomZoom((-0.2, 0.1))]
    )
    return dataset.map(lambda batch, labels: (change(batch, training=True), labels), tf.data.AUTOTUNE)


def backbone(size, weights):
    """MobileNetV2 without its head, trained on ImageNet and kept as it is."""
    if weights:
        base = keras.models.load_model(os.path.join(weights, "mobilenet_v2.keras"), compile=False)
    else:
        base = keras.applications.MobileNetV2(input_shape=(size, size, 3), include_top=False, weights="imagenet")
    base.trainable = False  # its batch normalisations keep ImageNet's statistics as well
    return base


def classifier(size, classes, weights):
    """From pictures (batch, size, size, 3), values from 0 to 255, to a probability for each class."""
    inputs = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = backbone(size, weights)(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def save(model, names, folder):
    """Write ``folder/1/saved_model.pb``: asked with files of pictures, it answers with each one's label and the
    probabilities of all.
    """
    _, size, _, channels = model.input_shape

    def decode(file):
        picture = tf.io.decode_image(file, channels=channels, expand_animations=False)
        return tf.image.resize(tf.ensure_shape(picture, (None, None, channels)), (size, size))

    def serve(image_bytes):
        batch = tf.map_fn(decode, image_bytes, fn_output_signature=tf.float32)
        probabilities = model(batch, training=False)
        return {"label": tf.gather(names, tf.argmax(probabilities, axis=-1)), "probabilities": probabilities}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, [tf.TensorSpec((None,), tf.string, name="image_bytes")])
    keras.utils.disable_interactive_logging()  # or it prints a line for each of hundreds of variables
    archive.write_out(os.path.join(folder, "1"))


def main():
    args = parse_args()
    keras.utils.set_random_seed(args.seed)
    training, validation = pictures(args.train, args, shuffle=True), pictures(args.validation, args)
    names = training.class_names
    print(f"classes: {', '.join(names)}")
    # Decoded once, not every epoch.
    training, validation = augmented(training.cache()).prefetch(tf.data.AUTOTUNE), validation.cache()

    model = classifier(args.image_size, len(names), args.weights)
    model.compile(
        optimizer=keras.optimizers.Adam(args.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    # A line an epoch: a log has no use for bars.
    model.fit(training, validation_data=validation, epochs=args.epochs, verbose=2)
    save(model, names, args.sm_model_dir)


if __name__ == "__main__":
    main()
