"""A training script of TensorFlow 2.8's time: rows of four numbers, and which half of them is larger."""

import argparse
import os

import numpy as np
import tensorflow as tf

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--learning_rate", type=float, default=0.1)
    # Passed in by SageMaker: where in S3 a model may go.
    parser.add_argument("--model_dir", type=str)
    parser.add_argument("--sm-model-dir", type=str, default=os.environ.get("SM_MODEL_DIR"))
    parser.add_argument("--train", type=str, default=os.environ.get("SM_CHANNEL_TRAINING"))
    args, _ = parser.parse_known_args()

    rows = np.loadtxt(os.path.join(args.train, "rows.csv"), delimiter=",", dtype="float32")
    labels = (rows[:, :2].sum(axis=1) < rows[:, 2:].sum(axis=1)).astype("int64")
    model = tf.keras.Sequential([tf.keras.layers.Dense(2, activation="softmax", input_shape=(4,))])
    model.compile(
        optimizer=tf.keras.optimizers.Adam(args.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    history = model.fit(rows, labels, epochs=args.epochs, batch_size=16, verbose=0)
    print("model_dir", args.model_dir, "keras", tf.keras.Model.__module__)
    print(f"train accuracy={history.history['accuracy'][-1]:.4f}")
    model.save(os.path.join(args.sm_model_dir, "1"))
