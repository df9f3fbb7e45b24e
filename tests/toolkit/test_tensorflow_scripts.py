"""Training scripts of TensorFlow as public programs are written, from the toolkit to models that are served."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.toolkit import tensorflow_environment
from tests.toolkit.conftest import Ran, Scripts
from tests.toolkit.serving.tensorflow.conftest import Host, Served, hosted

from clary.toolkit.frameworks import layers_of_framework
from clary.vision.base.jobdir import JobDir

pytestmark = pytest.mark.slow  # imports of TensorFlow

# As AWS's own examples of TensorFlow 2 have it.
OF_2_8 = """
import argparse, json, os
import numpy as np
import tensorflow as tf
from tensorflow.keras.preprocessing.image import ImageDataGenerator
from tensorflow.keras import __version__ as keras_version

def _parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument('--epochs', type=int, default=1)
    # Data, model, and output directories
    # model_dir is always passed in from SageMaker. By default this is a S3 path under the default bucket.
    parser.add_argument('--model_dir', type=str)
    parser.add_argument('--sm-model-dir', type=str, default=os.environ.get('SM_MODEL_DIR'))
    parser.add_argument('--train', type=str, default=os.environ.get('SM_CHANNEL_TRAINING'))
    parser.add_argument('--hosts', type=list, default=json.loads(os.environ.get('SM_HOSTS')))
    parser.add_argument('--current-host', type=str, default=os.environ.get('SM_CURRENT_HOST'))
    return parser.parse_known_args()

args, unknown = _parse_args()
print('model_dir', args.model_dir, 'keras', tf.keras.Model.__module__)
print(f'TensorFlow {tf.__version__}, Keras {tf.keras.__version__} {keras_version}')
x = np.random.rand(16, 8, 8, 3).astype('float32')
y = np.arange(16) % 2
flow = ImageDataGenerator(horizontal_flip=True).flow(x, y, batch_size=8)
model = tf.keras.models.Sequential([
    tf.keras.layers.Flatten(input_shape=(8, 8, 3)),
    tf.keras.layers.Dense(2, activation=tf.nn.softmax),
])
model.compile(optimizer=tf.keras.optimizers.legacy.Adam(lr=0.01, decay=1e-6),
              loss='sparse_categorical_crossentropy', metrics=['accuracy'])
model.fit(flow, epochs=args.epochs, workers=1, verbose=2)
if args.current_host == args.hosts[0]:
    model.save(os.path.join(args.sm_model_dir, '000000001'))
"""
OF_KERAS_3 = """
import argparse, os
import keras, numpy as np
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--learning_rate", type=float, default=0.1)
parser.add_argument("--model_dir", type=str, default=os.environ["SM_MODEL_DIR"])
args, _ = parser.parse_known_args()
print("keras", keras.__version__, tf.keras.__version__)
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, activation="softmax")])
model.compile(optimizer=keras.optimizers.SGD(args.learning_rate), loss="sparse_categorical_crossentropy")
data = tf.data.Dataset.from_tensor_slices((np.random.rand(8, 4).astype("float32"), np.arange(8) % 2)).batch(4)
model.fit(data, epochs=1, verbose=2)
model.export(os.path.join(os.environ["SM_MODEL_DIR"], "1"))
"""


class TensorFlowScripts(Scripts):
    """Jobs that find TensorFlow's layers made."""

    def platform(self, job: JobDir, variables: Mapping[str, str]) -> dict[str, str]:
        told = {name: value for name, value in super().platform(job, variables).items() if not name.startswith("PIP_")}
        # The layers are those of this machine's own index.
        return told | {name: value for name, value in os.environ.items() if name.startswith("PIP_")}

    def __call__(self, source: Mapping[str, str], *given: Any, **plan: Any) -> Ran:
        root = tensorflow_environment.require()
        return super().__call__(source, *given, framework="tensorflow", complete=True, environments=root, **plan)


@pytest.fixture
def run_script(tmp_path: Path) -> Callable[..., Ran]:
    return TensorFlowScripts(tmp_path)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with hosted(tmp_path_factory.mktemp("tensorflow"), "") as found:
        yield found


def served(host: Host, ran: Ran) -> Served:
    return Served(host, ran.job.model, host("load", str(ran.job.model), {}))


def test_a_script_of_keras_3(run_script, host):
    given = {"learning_rate": 0.5, "model_dir": "s3://bucket/prefix/job/model"}
    ran = run_script({"train.py": OF_KERAS_3}, given, version="2.16.1")
    assert ran.code == 0, ran.log
    assert re.search(r"tensorflow 2\.16\.1 was asked for; this is tensorflow 2\.\d+\.\d+ on Python 3\.", ran.log)
    assert re.search(r"^keras 3\.\S+ 3\.", ran.log, re.MULTILINE)
    assert "NOT be servable" not in ran.log
    found = served(host, ran).json({"instances": np.zeros((2, 4)).tolist()})
    assert np.shape(found["predictions"]) == (2, 2)


def test_a_script_of_2_8_gets_keras_2(run_script, host):
    given = {"epochs": 1, "model_dir": "s3://bucket/prefix/job/model"}
    ran = run_script({"train.py": OF_2_8}, given, channels=["training"], version="2.8")
    assert ran.code == 0, ran.log
    assert re.search(r"^model_dir s3://bucket/prefix/job/model keras tf_keras\.", ran.log, re.MULTILINE)
    assert re.search(r"^TensorFlow (2\.\d+)\.\d+, Keras (\1\.\d+) \2$", ran.log, re.MULTILINE), ran.log
    assert "NOT be servable" not in ran.log
    found = served(host, ran).json({"instances": np.zeros((1, 8, 8, 3)).tolist()})
    assert np.shape(found["predictions"]) == (1, 2)


# Lines of public scripts that no longer run, and a word of what they are told.
GONE = {
    "tf.app.flags.DEFINE_string('a', '', '')": "argparse",
    "tf.contrib.slim": "tf.contrib went",
    "tf.Session()": "tensorflow.compat.v1 as tf",
    "tf.placeholder(tf.float32)": "tensorflow.compat.v1 as tf",
    "tf.global_variables_initializer()": "tensorflow.compat.v1 as tf",
    "tf.train.AdamOptimizer(0.1)": "tf.train.AdamOptimizer is of TensorFlow 1",
    "tf.estimator.RunConfig()": "tf.estimator went",
    "tf.compat.v1.estimator.RunConfig()": "tf.estimator went",
    "tf.logging.set_verbosity(1)": "tf.get_logger",
    "tf.gfile.Exists('a')": "tf.io.gfile",
    "tf.set_random_seed(1)": "tf.random.set_seed",
    "tf.layers.dense": "tf.keras.layers",
    "tf.saved_model.simple_save": "tf.saved_model.simple_save is of TensorFlow 1",
    "tf.summary.FileWriter('a')": "tf.summary.FileWriter is of TensorFlow 1",
    "tf.compat.v1.placeholder(tf.float32)": "disable_eager_execution",
    "tf.keras.backend.set_session(1)": "sessions went",
    "tf.keras.utils.multi_gpu_model": "MirroredStrategy",
    "tf.keras.experimental.export_saved_model": "framework_version before 2.16",
    "tf.keras.layers.experimental.preprocessing.Rescaling": "framework_version before 2.16",
    "tf.keras.optimizers.Adam(lr=0.1)": "learning_rate",
    "tf.keras.Sequential().save('a_folder')": "model.export",
    "tf.keras.Sequential().fit_generator": "write fit",
    "tf.keras.Sequential().fit([1], workers=2)": "framework_version before 2.16",
    "tf.io.gfile.makedirs('s3://bucket/model')": "SM_MODEL_DIR",
    "import tensorflow.contrib.slim": "tf.contrib went",
    "from tensorflow.examples.tutorials.mnist import input_data": "tf.keras.datasets.mnist",
    "from keras.preprocessing.image import ImageDataGenerator": "take it from tensorflow.keras",
    "from keras.utils import np_utils": "take it from tensorflow.keras",
    "from keras.layers.core import Dense": "take it from tensorflow.keras",
    "from keras.engine import Model": "take it from tensorflow.keras",
    "from tensorflow.keras.layers import CuDNNLSTM": "framework_version before 2.16",
}


@pytest.mark.parametrize("line", GONE)
def test_what_is_gone_is_said_by_name(host, line):
    from clary.toolkit.failure import error_message
    from clary.toolkit.tensorflow_names import way_out

    printed = host("error_of", f"import tensorflow as tf\n{line}\n")
    assert printed, "it runs"
    assert GONE[line] in way_out(error_message(printed)), printed


def test_nothing_of_another_framework_is_made():
    assert [one.lines for one in layers_of_framework("base-python", "")] == []
