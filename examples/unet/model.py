"""The U-Net: MobileNetV2 as the encoder, transposed convolutions as the decoder."""

import os

import keras
from keras import layers

# Where the encoder halves its grid next: the features of each size that the decoder sees again.
SKIPS = ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu", "block_13_expand_relu")
BOTTOM = "block_16_project"
FILTERS = (256, 128, 64, 32)


def encoder(size, weights=None):
    """MobileNetV2's features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size, trained on ImageNet and kept as they are.

    ``weights`` is a folder with ``mobilenet_v2.keras``, which mobilenet_v2_weights.py makes; without it Keras loads its
    own from the network.
    """
    if weights:
        base = keras.models.load_model(os.path.join(weights, "mobilenet_v2.keras"), compile=False)
    else:
        base = keras.applications.MobileNetV2(input_shape=(size, size, 3), include_top=False, weights="imagenet")
    base.trainable = False  # its batch normalisations keep ImageNet's statistics as well
    return keras.Model(base.input, [base.get_layer(name).output for name in (*SKIPS, BOTTOM)], name="encoder")


def upsample(x, filters):
    """Twice the size: a transposed convolution."""
    x = layers.Conv2DTranspose(filters, 3, strides=2, padding="same", use_bias=False)(x)
    # Quicker than Keras' default of 0.99, which needs more steps than a small set has.
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.ReLU()(x)


def unet(size, classes, weights=None):
    """From pictures (batch, size, size, 3) to a score for each class and pixel (batch, size, size, classes)."""
    pictures = keras.Input((size, size, 3), name="pictures")
    *skips, x = encoder(size, weights)(pictures)
    for filters, skip in zip(FILTERS, reversed(skips), strict=True):
        x = layers.Concatenate()([upsample(x, filters), skip])
    scores = layers.Conv2DTranspose(classes, 4, strides=2, padding="same", name="scores")(x)
    return keras.Model(pictures, scores, name="unet")
