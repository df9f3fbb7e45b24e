"""What scripts of earlier years call, and is gone from the libraries of today: one table.

A script that fails for want of one of these names is told which, since when, and what to write instead
(``toolkit.failure``). Those with a ``bridge`` are put back in the processes of scripts that asked for a framework of
their time (``toolkit.bridges``). Each row is tried against the libraries that are installed by the tests.
Standard library only: it is read whenever a Python of such a job starts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

__all__ = ["FORMER_NAMES", "FormerName", "missed"]


class FormerName(NamedTuple):
    """``name`` is what ``module`` has no more: a name in it, of a class of it (``DataFrame.append``), or an argument of
    such (``OneHotEncoder(sparse)``); empty where the module itself is gone.

    ``gone`` is the release without it, ``instead`` what to do. ``bridge`` is what stands in for it: ``module:name``, a
    module, or for an argument its new name, ``-`` where it is left out; empty where nothing does. ``said`` is what the
    error says where the name is not in it (an expression).
    """

    module: str
    name: str
    gone: str
    instead: str
    bridge: str = ""
    said: str = ""

    @property
    def full_name(self) -> str:
        return f"{self.module}.{self.name}".rstrip(".")

    @property
    def advice(self) -> str:
        return f"{self.full_name} is gone since {self.gone}: {self.instead}"


def _of(module: str, gone: str, *rows: tuple[str, ...]) -> Iterator[FormerName]:
    """Rows of a module: name, what to do, bridge, what the error says."""
    return (FormerName(module, row[0], gone, *row[1:]) for row in rows)


def _numpy(gone: str, **names: str) -> Iterator[FormerName]:
    """Names that NumPy has under another, or that were Python's own."""
    for name, now in names.items():
        where = "builtins" if now in ("int", "float", "complex", "object", "str") else "numpy"
        yield FormerName("numpy", name, gone, f"write {now if where == 'builtins' else f'np.{now}'}", f"{where}:{now}")


_SCHEDULERS = (
    *("StepLR", "MultiStepLR", "ExponentialLR", "LambdaLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts"),
    *("CyclicLR", "OneCycleLR", "ReduceLROnPlateau"),
)
_ABSTRACT = ("Mapping", "MutableMapping", "Sequence", "MutableSequence", "Iterable", "Iterator", "Callable", "Hashable")
_FROM_HUB = ("load_state_dict_from_url", "import it from torch.hub", "torch.hub:load_state_dict_from_url")
_URLS = ("model_urls", "take the url of ResNet50_Weights.IMAGENET1K_V1 and its like")
_VIDEO = "read the video with OpenCV, PyAV or TorchCodec"

FORMER_NAMES: tuple[FormerName, ...] = (
    *_of(
        "torch._six",
        "PyTorch 2.0",
        ("", "write str for string_classes, int for int_classes, collections.abc for container_abcs"),
        ("string_classes", "write str", "builtins:str"),
        ("int_classes", "write int", "builtins:int"),
        ("container_abcs", "import collections.abc", "collections.abc"),
        ("inf", "write math.inf", "math:inf"),
        ("nan", "write math.nan", "math:nan"),
        ("queue", "import queue", "queue"),
    ),
    FormerName(
        "torch.utils.data.dataloader",
        "_BaseDataLoaderIter.next",
        "PyTorch 1.13",
        "write next(iterator)",
        "torch.utils.data.dataloader:_BaseDataLoaderIter.__next__",
        r"'_(?:SingleProcess|MultiProcessing)DataLoaderIter' object has no attribute 'next'",
    ),
    *_of(
        "torch.optim.lr_scheduler",
        "PyTorch 2.7",
        *((f"{name}(verbose)", "leave it out, and print get_last_lr()", "-") for name in _SCHEDULERS),
    ),
    FormerName(
        "torch",
        "load(weights_only=False) as the default",
        "PyTorch 2.6",
        "write weights_only=False, if the file is your own",
        said="Weights only load failed",
    ),
    *_of("torch", "PyTorch 1.8", *((name, f"use torch.fft.{name}") for name in ("rfft", "irfft", "ifft"))),
    FormerName("torch.autograd.gradcheck", "zero_gradients", "PyTorch 1.9", "write x.grad = None"),
    FormerName("torch.utils.ffi", "", "PyTorch 1.0", "build the extension with torch.utils.cpp_extension"),
    *_of("torchvision.models.utils", "torchvision 0.13", ("", f"{_FROM_HUB[0]} is in torch.hub"), _FROM_HUB),
    *_of("torchvision.models.resnet", "torchvision 0.13", _FROM_HUB, _URLS),
    *_of("torchvision.models.vgg", "torchvision 0.13", _FROM_HUB, _URLS),
    *_of("torchvision.models.densenet", "torchvision 0.13", _URLS),
    *_of(
        "torchvision.transforms",
        "torchvision 0.12",
        ("Scale", "use transforms.Resize", "torchvision.transforms:Resize"),
        ("RandomSizedCrop", "use transforms.RandomResizedCrop", "torchvision.transforms:RandomResizedCrop"),
    ),
    FormerName(
        "torchvision.transforms",
        "functional_tensor",
        "torchvision 0.17",
        "import torchvision.transforms.functional",
        "torchvision.transforms._functional_tensor",
    ),
    *_of("torchvision.io", "torchvision 0.26", ("read_video", _VIDEO), ("VideoReader", _VIDEO)),
    *_numpy("NumPy 1.24", int="int", float="float", complex="complex", object="object", str="str"),
    *_numpy("NumPy 2.0", float_="float64", complex_="complex128", string_="bytes_", unicode_="str_", bool8="bool"),
    *_numpy("NumPy 2.0", NaN="nan", NAN="nan", Inf="inf", Infinity="inf", infty="inf", PINF="inf"),
    *_numpy("NumPy 2.0", sometrue="any", alltrue="all", product="prod", cumproduct="cumprod", round_="round"),
    *_numpy("NumPy 2.0", mat="asmatrix"),
    *_numpy("NumPy 2.4", trapz="trapezoid", in1d="isin"),
    *_of("numpy", "NumPy 2.0", ("NINF", "write -np.inf"), ("asfarray", "use np.asarray with dtype=float")),
    FormerName("numpy", "asscalar", "NumPy 1.23", "use .item()"),
    *_of(
        "PIL.Image",
        "Pillow 10",
        ("ANTIALIAS", "write Image.LANCZOS", "PIL.Image:LANCZOS"),
        ("LINEAR", "write Image.BILINEAR", "PIL.Image:BILINEAR"),
        ("CUBIC", "write Image.BICUBIC", "PIL.Image:BICUBIC"),
    ),
    FormerName("PIL.ImageDraw", "ImageDraw.textsize", "Pillow 10", "use textbbox"),
    FormerName("PIL.ImageFont", "FreeTypeFont.getsize", "Pillow 10", "use getbbox"),
    FormerName("PIL", "PILLOW_VERSION", "Pillow 7", "write PIL.__version__", "PIL:__version__"),
    *_of(
        "pandas",
        "pandas 2.0",
        ("DataFrame.append", "use pd.concat", "clary.toolkit.bridges:append_rows"),
        ("Series.append", "use pd.concat", "clary.toolkit.bridges:append_rows"),
        ("DataFrame.iteritems", "use .items()", "pandas:DataFrame.items"),
        ("Series.iteritems", "use .items()", "pandas:Series.items"),
        ("datetime", "import datetime", "datetime:datetime"),
        ("np", "import numpy", "numpy"),
        ("read_csv(error_bad_lines)", "write on_bad_lines='skip'"),
    ),
    FormerName("pandas", "DataFrame.as_matrix", "pandas 1.0", "use .to_numpy()", "pandas:DataFrame.to_numpy"),
    FormerName("pandas", "DataFrame.ix", "pandas 1.0", "use .loc or .iloc"),
    FormerName("pandas", "DataFrame.applymap", "pandas 3.0", "use .map()", "pandas:DataFrame.map"),
    *_of(
        "sklearn.externals",
        "scikit-learn 0.23",
        ("joblib", "import joblib", "joblib"),
        ("six", "leave it out"),
    ),
    *_of(
        "sklearn",
        "scikit-learn 0.20",
        ("cross_validation", "import sklearn.model_selection", "sklearn.model_selection"),
        ("grid_search", "import sklearn.model_selection", "sklearn.model_selection"),
    ),
    FormerName("sklearn.preprocessing", "Imputer", "scikit-learn 0.22", "use sklearn.impute.SimpleImputer"),
    *_of(
        "sklearn.metrics",
        "scikit-learn 1.2",
        ("plot_confusion_matrix", "use ConfusionMatrixDisplay.from_estimator"),
        ("plot_roc_curve", "use RocCurveDisplay.from_estimator"),
    ),
    FormerName(
        "sklearn.preprocessing", "OneHotEncoder.get_feature_names", "scikit-learn 1.2", "use get_feature_names_out"
    ),
    FormerName(
        "sklearn.feature_extraction.text",
        "CountVectorizer.get_feature_names",
        "scikit-learn 1.2",
        "use get_feature_names_out",
    ),
    FormerName(
        "sklearn.preprocessing", "OneHotEncoder(sparse)", "scikit-learn 1.4", "write sparse_output", "sparse_output"
    ),
    FormerName(
        "sklearn.metrics",
        "mean_squared_error(squared)",
        "scikit-learn 1.6",
        "use root_mean_squared_error",
        "clary.toolkit.bridges:mean_squared_error",
        "unexpected keyword argument 'squared'",
    ),
    *_of(
        "scipy.misc",
        "SciPy 1.3",
        ("imread", "use PIL.Image.open"),
        ("imresize", "use the resize of PIL's images"),
        ("imsave", "use the save of PIL's images"),
        ("logsumexp", "import it from scipy.special", "scipy.special:logsumexp"),
    ),
    FormerName("scipy.integrate", "simps", "SciPy 1.14", "use simpson", "scipy.integrate:simpson"),
    FormerName("scipy", "interp", "SciPy 1.10", "use np.interp", "numpy:interp"),
    FormerName("matplotlib.cm", "get_cmap", "Matplotlib 3.9", "use plt.get_cmap", "matplotlib.pyplot:get_cmap"),
    FormerName(
        "matplotlib.style",
        "use('seaborn...')",
        "Matplotlib 3.8",
        "the styles are called seaborn-v0_8...",
        said=r"'seaborn[\w-]*' is not a valid package style",
    ),
    FormerName(
        "yaml",
        "load without a loader",
        "PyYAML 6",
        "use yaml.safe_load",
        said=r"load\(\) missing 1 required positional argument: 'Loader'",
    ),
    FormerName(
        "transformers.training_args",
        "TrainingArguments(evaluation_strategy)",
        "Transformers 4.46",
        "write eval_strategy",
        "eval_strategy",
    ),
    FormerName(
        "transformers.trainer", "Trainer(tokenizer)", "Transformers 5", "write processing_class", "processing_class"
    ),
    FormerName("transformers.training_args", "TrainingArguments(logging_dir)", "Transformers 5", "leave it out", "-"),
    FormerName("transformers", "AdamW", "Transformers 5", "use torch.optim.AdamW", "torch.optim:AdamW"),
    # Keras 2 as tf.keras has two names: by attribute, and by import.
    *(
        FormerName(name, "__version__", "TensorFlow 2.16", "write tf_keras.__version__", "tf_keras:__version__")
        for name in ("tf_keras.api._v2.keras", "tensorflow.keras")
    ),
    FormerName("datasets", "load_metric", "Datasets 3", "use evaluate.load"),
    *(
        FormerName("collections", name, "Python 3.10", f"import {name} from collections.abc", f"collections.abc:{name}")
        for name in _ABSTRACT
    ),
    FormerName("time", "clock", "Python 3.8", "use time.perf_counter", "time:perf_counter"),
    FormerName("base64", "encodestring", "Python 3.9", "use encodebytes", "base64:encodebytes"),
    FormerName("base64", "decodestring", "Python 3.9", "use decodebytes", "base64:decodebytes"),
    FormerName("fractions", "gcd", "Python 3.9", "use math.gcd", "math:gcd"),
    FormerName("inspect", "getargspec", "Python 3.11", "use inspect.getfullargspec"),
    FormerName("imp", "", "Python 3.12", "use importlib"),
    FormerName("distutils", "", "Python 3.12", "add the line `setuptools` to requirements.txt, which has it still"),
)

_ATTRIBUTE = re.compile(r"(?:[Mm]odule|type object) '([\w.]+)' has no attribute '(\w+)'")
_OF_OBJECT = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_IMPORTED = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_MODULE = re.compile(r"No module named '([\w.]+)'")
_ARGUMENT = re.compile(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")
_OF_NUMPY = re.compile(r"`np\.(\w+)` was removed")


def missed(message: str) -> FormerName | None:
    """The row that an exception's ``message`` is about; None where it is about none."""
    if row := _first(lambda row: bool(row.said and re.search(row.said, message))):
        return row
    if found := _MODULE.search(message):
        module = found[1]
        return _first(lambda row: row.full_name == module)
    if found := _ARGUMENT.search(message):
        argument = f"{found[1]}({found[2]})"
        return _first(lambda row: row.name == argument)
    if found := _IMPORTED.search(message):
        name = f"{found[2]}.{found[1]}"
    elif found := _OF_NUMPY.search(message):
        name = f"numpy.{found[1]}"
    elif found := _ATTRIBUTE.search(message) or _OF_OBJECT.search(message):
        name = f"{found[1]}.{found[2]}"
    else:
        return None
    # Of an object the class is told, and no module.
    return _first(lambda row: name in (row.full_name, row.name))


def _first(fits: Callable[[FormerName], bool]) -> FormerName | None:
    return next(filter(fits, FORMER_NAMES), None)
