"""From decoded pictures to batches: resize, augment, normalise."""

import tensorflow as tf

CLASSES = ("pet", "background", "border")


def resize(picture, trimap, size):
    """A square picture of ``size`` pixels, and its mask: class ids from 0."""
    picture = tf.image.resize(picture, (size, size), antialias=True)
    trimap = tf.image.resize(trimap, (size, size), method="nearest")
    return picture, tf.cast(trimap, tf.int32) - 1


def augment(picture, mask):
    """Mirror, zoom, and change the light; what moves a picture moves its mask."""
    size = tf.shape(picture)[0]
    both = tf.concat([picture, tf.cast(mask, tf.float32)], axis=-1)
    both = tf.image.random_flip_left_right(both)
    side = tf.random.uniform((), tf.cast(0.7 * tf.cast(size, tf.float32), tf.int32), size + 1, tf.int32)
    both = tf.image.random_crop(both, (side, side, 4))
    picture = tf.image.resize(both[..., :3], (size, size))
    mask = tf.image.resize(both[..., 3:], (size, size), method="nearest")
    picture = tf.image.random_brightness(picture, 25)
    picture = tf.image.random_contrast(picture, 0.8, 1.25)
    picture = tf.image.random_saturation(tf.clip_by_value(picture, 0, 255), 0.7, 1.3)
    return tf.clip_by_value(picture, 0, 255), tf.cast(mask, tf.int32)


def normalize(picture):
    """Values from 0 to 255 become -1 to 1, as MobileNetV2 takes them."""
    return tf.cast(picture, tf.float32) / 127.5 - 1


def batches(dataset, size, batch_size, training=False):
    """Batches of normalised pictures (batch, size, size, 3) and masks (batch, size, size)."""
    dataset = dataset.map(lambda picture, trimap: resize(picture, trimap, size), num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.cache()  # decoded and small: once, not every epoch
    if training:
        dataset = dataset.shuffle(len(dataset)).map(augment, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.map(lambda picture, mask: (normalize(picture), tf.squeeze(mask, axis=-1)))
    # A last batch of one or two would shake batch normalisation.
    return dataset.batch(batch_size, drop_remainder=training).prefetch(tf.data.AUTOTUNE)
