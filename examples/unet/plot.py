"""Pictures of the data, of what the network says of it, and of the training; as PNG files."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from process import CLASSES

COLOURS = ListedColormap(["#e8743b", "#3d6fa3", "#f4d35e"])


def masks(batches, file, model=None):
    """Draw pictures, a single batch, and their masks side by side, and with ``model`` what it predicts of them."""
    ((pictures, truths),) = batches.as_numpy_iterator()
    columns = [("picture", np.clip((pictures + 1) / 2, 0, 1)), ("mask", truths)]
    if model is not None:
        columns.append(("predicted", np.argmax(model.predict_on_batch(pictures), axis=-1)))
    rows = len(pictures)
    figure, axes = plt.subplots(
        rows, len(columns), figsize=(2 * len(columns), 2 * rows + 0.5), squeeze=False, layout="constrained"
    )
    for axis, (title, _) in zip(axes[0], columns, strict=True):
        axis.set_title(title)
    for row in range(rows):
        for axis, (_, values) in zip(axes[row], columns, strict=True):
            axis.imshow(values[row], cmap=COLOURS, vmin=-0.5, vmax=len(CLASSES) - 0.5, interpolation="nearest")
            axis.set_axis_off()
    patches = [Patch(color=COLOURS(number), label=name) for number, name in enumerate(CLASSES)]
    figure.legend(handles=patches, loc="outside lower center", ncols=len(CLASSES), frameon=False)
    figure.savefig(file, dpi=100)
    plt.close(figure)


def curves(history, file):
    """Draw loss, accuracy and mean IoU by epoch, of training and of validation."""
    names = [name for name in history if f"val_{name}" in history]
    figure, axes = plt.subplots(1, len(names), figsize=(4 * len(names), 3), layout="constrained")
    for axis, name in zip(axes, names, strict=True):
        epochs = range(1, len(history[name]) + 1)
        axis.plot(epochs, history[name], color="#3d6fa3", marker=".", label="training")
        axis.plot(epochs, history[f"val_{name}"], color="#e8743b", marker=".", label="validation")
        axis.set_title(name.replace("_", " ").replace("iou", "IoU"))
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
    axes[0].legend(frameon=False)
    figure.savefig(file, dpi=100)
    plt.close(figure)
