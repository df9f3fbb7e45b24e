"""Scripts as public ones for SageMaker are written: what they import, read, start and take for granted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytestmark = pytest.mark.slow  # each starts a Python of its own, and most import torch


@pytest.fixture(scope="module")
def breeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders train, valid and test, of one colour a class."""
    root = tmp_path_factory.mktemp("breeds")
    for split in ("train", "valid", "test"):
        for name, colour in (("001.Affenpinscher", (200, 30, 30)), ("002.Afghan_hound", (30, 30, 200))):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (40, 36), tuple(c + number for c in colour)).save(folder / f"{number}.jpg")
    return root


DEBUGGED = """
import argparse, collections, logging, os, sys
import numpy as np
import torch
import torch.nn as nn
from torch._six import container_abcs, string_classes
from PIL import Image
import torch.optim as optim
import torchvision
import torchvision.models as models
import torchvision.transforms as transforms
from smdebug import modes
from smdebug.profiler.utils import str2bool
from smdebug.pytorch import get_hook
from smdebug.core.modes import ModeKeys
import smdebug.pytorch as smd
import torch.utils.data.distributed
from PIL import ImageFile
ImageFile.LOAD_TRUNCATED_IMAGES = True
assert issubclass(dict, collections.Mapping) and string_classes is str
assert container_abcs.Mapping is collections.abc.Mapping

logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.StreamHandler(sys.stdout))

def test(model, loader, criterion, device, hook):
    model.eval()
    hook.set_mode(smd.modes.EVAL)
    correct = 0
    with torch.no_grad():
        for data, target in loader:
            correct += model(data.to(device)).argmax(1).eq(target.to(device)).sum().item()
    logger.info("Test set: Accuracy: {}/{} ({:.0f}%)".format(correct, len(loader.dataset), 100.0))

def train(model, loaders, criterion, optimizer, device, hook):
    for epoch in range(1):
        for phase in ["train", "valid"]:
            if phase == "train":
                hook.set_mode(smd.modes.TRAIN)
                model.train()
            else:
                hook.set_mode(modes.EVAL)
                model.eval()
            corrects = 0
            for inputs, labels in loaders[phase]:
                outputs = model(inputs.to(device))
                loss = criterion(outputs, labels.to(device))
                if phase == "train":
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                corrects += torch.sum(torch.max(outputs, 1)[1] == labels.data)
            logger.info("{} loss: {:.4f}, acc: {:.4f}".format(phase, loss.item(), corrects // len(loaders[phase])))
    return model

def main(args):
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    model = models.resnet18(pretrained=False)
    for param in model.parameters():
        param.requires_grad = False
    model.fc = nn.Sequential(nn.Linear(model.fc.in_features, 8), nn.ReLU(inplace=True), nn.Linear(8, 133))
    model = model.to(device)
    hook = smd.Hook.create_from_json_file()
    hook.register_module(model)
    criterion = nn.CrossEntropyLoss()
    hook.register_loss(criterion)
    optimizer = optim.Adam(model.fc.parameters(), lr=args.lr)
    transform = transforms.Compose([
        transforms.Scale(32, interpolation=Image.ANTIALIAS), transforms.CenterCrop((32, 32)), transforms.ToTensor(),
        transforms.Lambda(lambda pixels: pixels * np.float(1))])
    loaders = {
        name: torch.utils.data.DataLoader(
            torchvision.datasets.ImageFolder(root=os.path.join(args.data, name), transform=transform),
            batch_size=args.batch_size, shuffle=True, num_workers=args.workers)
        for name in ("train", "valid", "test")}
    images, labels = iter(loaders["train"]).next()
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1, verbose=True)
    torch.save(optimizer, "optimizer.pt")
    torch.load("optimizer.pt")
    train(model, loaders, criterion, optimizer, device, hook)
    test(model, loaders["test"], criterion, device, hook)
    torch.save(model.state_dict(), os.path.join(args.model_dir, "model.pth"))
    os.system("nvidia-smi")

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1.0, metavar="LR")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--debug", type=str2bool, default=False)
    parser.add_argument("--workers", type=int, default=int(os.environ["SM_NUM_CPUS"]))
    parser.add_argument("--model_dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--data", type=str, default=os.environ["SM_CHANNEL_TRAINING"])
    parser.add_argument("--gpus", type=int, default=os.environ["SM_NUM_GPUS"])
    args = parser.parse_args()
    print("debug", args.debug)
    main(args)
"""


def test_breeds_with_the_debuggers_hooks(run_script: Any, breeds: Path) -> None:
    """The project of a course, of which there are hundreds of copies."""
    given = {"lr": 0.01, "batch_size": 4, "workers": 1, "debug": True, "data": str(breeds)}
    found = run_script({"train.py": DEBUGGED}, given, channels=["training"], framework="pytorch", version="1.8")
    assert found.code == 0, found.log
    assert "debug True" in found.log
    assert re.search(r"^train loss: \d", found.log, re.MULTILINE)
    assert "Test set: Accuracy: " in found.log
    assert (found.job.model / "model.pth").exists()
    # By whichever of the loaders' processes came first.
    assert found.log.count("numpy.float is gone since NumPy 1.24: write float; for this script it is put back") == 1
    assert "torch.utils.data.dataloader._BaseDataLoaderIter.next is gone since PyTorch 1.13" in found.log


GUARDED = """
import json, os, subprocess, sys, logging
try:
    import horovod.torch as hvd
    HOROVOD = True
except ImportError:
    HOROVOD = False
try:
    import smdistributed.dataparallel.torch.distributed as dist
except ImportError:
    print("smdistributed modules are not available")
try:
    from apex import amp
except ModuleNotFoundError:
    amp = None
import yaml
from sagemaker_training import environment, errors, logging_config
import sagemaker_containers
from sagemaker_containers import entry_point
from utils.helpers import double
sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "src"))
import network

logger = logging_config.get_logger()
env = environment.Environment()
hps = json.loads(os.environ["SM_HPS"])
with open("config/model.yaml") as file:
    config = yaml.safe_load(file)
print("config", config["layers"], double(2), network.NAME, hps["layers"], env.hyperparameters["layers"], HOROVOD, amp)
print("same", json.loads(os.environ["SM_TRAINING_ENV"])["hosts"] == sagemaker_containers.training_env().hosts)
print("distributed", env.additional_framework_parameters.get("sagemaker_distributed_dataparallel_enabled", False))
subprocess.check_call([sys.executable, "-c", "import sys; print('child', sys.prefix)"])
print("version", subprocess.run("python --version", shell=True, capture_output=True, text=True).returncode)
os.makedirs(os.environ["SM_OUTPUT_DATA_DIR"], exist_ok=True)
with open(os.path.join(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json"), "w") as file:
    json.dump({"accuracy": 1}, file)
logging.basicConfig(level=logging.INFO, handlers=[logging.StreamHandler(sys.stdout)])
logging.getLogger("mine").info("done")
"""


def test_guards_and_what_lies_beside_the_script(run_script: Any) -> None:
    source = {
        "train.py": GUARDED,
        "utils/__init__.py": "",
        "utils/helpers.py": "def double(n): return 2 * n\n",
        "src/network.py": "NAME = 'net'\n",
        "config/model.yaml": "layers: 3\n",
    }
    found = run_script(source, {"layers": [1, 2]}, framework="pytorch", version="1.6")
    assert found.code == 0, found.log
    assert "config 3 4 net [1, 2] [1, 2] False None" in found.log
    assert "same True" in found.log
    assert "distributed False" in found.log
    assert f"child {found.job.root.parent / 'environment'}" in found.log
    assert re.search(r"^INFO:mine:done$", found.log, re.MULTILINE)
    assert json.loads((found.job.output / "data" / "metrics.json").read_text()) == {"accuracy": 1}


FOREST = """
from __future__ import print_function
import argparse, os
import numpy as np
import pandas as pd
from sklearn.externals import joblib
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score, mean_squared_error
from sklearn.preprocessing import OneHotEncoder
from sagemaker_containers.beta.framework import (
    content_types, encoders, env, modules, transformer, worker)

if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--max_leaf_nodes', type=int, default=-1)
    parser.add_argument('--output-data-dir', type=str, default=os.environ['SM_OUTPUT_DATA_DIR'])
    parser.add_argument('--model-dir', type=str, default=os.environ['SM_MODEL_DIR'])
    parser.add_argument('--train', type=str, default=os.environ['SM_CHANNEL_TRAIN'])
    args = parser.parse_args()
    input_files = [os.path.join(args.train, file) for file in os.listdir(args.train)]
    raw_data = [pd.read_csv(file, header=None, engine="python") for file in input_files]
    train_data = pd.concat(raw_data)
    train_y = train_data.iloc[:, 0].astype(np.int)
    train_X = train_data.iloc[:, 1:]
    encoded = OneHotEncoder(sparse=False).fit_transform(train_X.iloc[:, :1])
    clf = RandomForestClassifier(max_leaf_nodes=args.max_leaf_nodes, n_estimators=5).fit(train_X, train_y)
    print('train accuracy', accuracy_score(train_y, clf.predict(train_X)), encoded.shape)
    joblib.dump(clf, os.path.join(args.model_dir, "model.joblib"))

def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))

def output_fn(prediction, accept):
    return worker.Response(encoders.encode(prediction, accept), mimetype=accept)
"""


def test_a_forest_of_2019(run_script: Any, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "iris.csv").write_text("".join(f"{n % 2},{n % 3},{n % 2 * 9}\n" for n in range(30)))
    given = {"max_leaf_nodes": 30, "train": str(folder)}
    found = run_script({"iris.py": FOREST}, given, program="iris.py", channels=["train"], framework="scikit-learn")
    # No version asked for: nothing is put back, and what is gone is said.
    assert found.code == 1
    assert 'ExtraInfo "sklearn.externals.joblib is gone since scikit-learn 0.23: import joblib"' in found.failure
    again = run_script(
        {"iris.py": FOREST}, given, program="iris.py", channels=["train"], framework="scikit-learn", version="0.23-1"
    )
    assert again.code == 0, again.log
    assert "train accuracy 1.0 (30, 3)" in again.log
    assert "sklearn.externals.joblib is gone since scikit-learn 0.23: import joblib; for this script" in again.log
    assert (again.job.model / "model.joblib").exists()


PROCESSES = """
import argparse, os, socket
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.nn.parallel import DistributedDataParallel as DDP

def train(rank, world_size, backend, port):
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "localhost", str(port)
    dist.init_process_group(backend, rank=rank, world_size=world_size)
    model = DDP(torch.nn.Linear(2, 1))
    model(torch.ones(4, 2)).sum().backward()
    print("gradient", rank, model.module.weight.grad.tolist())
    dist.destroy_process_group()

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--backend", type=str, default="nccl" if torch.cuda.is_available() else "gloo")
    parser.add_argument("--processes", type=int, default=1)
    args, _ = parser.parse_known_args()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    mp.spawn(train, args=(args.processes, args.backend, port), nprocs=args.processes, join=True)
    dist.init_process_group("nccl", init_method=f"tcp://localhost:{port}", rank=0, world_size=1)
"""


def test_processes_of_a_scripts_own_and_nccl(run_script: Any) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here, which nccl would use")
    found = run_script({"train.py": PROCESSES}, {"processes": 1}, framework="pytorch", version="2.1")
    assert "gradient 0 [[4.0, 4.0]]" in found.log
    assert found.code == 1
    assert 'ExtraInfo "the backend nccl needs GPUs, and there are none: use gloo' in found.failure


FLAGS = """
import argparse, distutils.util, os
parser = argparse.ArgumentParser()
parser.add_argument("--augment", type=lambda text: bool(distutils.util.strtobool(text)), default=False)
parser.add_argument("--pretrained", type=eval, default=False)
parser.add_argument("--use-cuda", type=bool, default=False)
parser.add_argument("--sizes", type=str, default="")
parser.add_argument("--model-dir", type=str, default=os.environ.get("SM_MODEL_DIR"))
args, unknown = parser.parse_known_args()
print("flags", args.augment, args.pretrained, args.use_cuda, eval(args.sizes), unknown)
print("channels", os.environ.get("SM_CHANNEL_TRAIN"), sorted(os.listdir(os.environ["SM_INPUT_DIR"])))
"""


def test_flags(run_script: Any) -> None:
    given = {"augment": False, "pretrained": True, "use-cuda": False, "sizes": [1, 2], "extra": "x"}
    found = run_script({"train.py": FLAGS}, given, channels=["train"], framework="pytorch", version="1.5")
    assert found.code == 0, found.log
    # `type=bool` takes any word for True: so it is on SageMaker.
    assert "flags False True True [1, 2] ['--extra', 'x']" in found.log
    assert re.search(r"channels \S+/input/data/train \['config', 'data'\]", found.log)
