"""Data sets, pictures and model archives that were damaged or made with ill will, given to all that reads them.

Every command must end with its exit code and lines for people, in little time and memory, whatever it was given.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import random
import shutil
import sys
import tarfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.storm import child, material
from tests.storm.mutations import mutate, worsen
from tests.storm.weather import Tally, tracebacks

from clary.errors import ClaryError
from clary.vision.base.types import TaskName

THINGS = 120  # a round
SECONDS = 20.0  # of processor time for one thing; few take one
MEMORY = 3 << 29  # bytes more than before; the largest picture that is taken needs some 12 bytes for each of 89 million
SILENCE = 300.0
EXITS = (0, 1, 2)


class HostileFiles:
    name = "files"

    def absent(self) -> str:
        return ""

    def round(self, seed: int, folder: Path, tally: Tally) -> None:
        (folder / "colours.tar.gz").write_bytes(material.colour_model())
        words = [str(seed), str(folder)]
        child.run(__name__, words, tally, errors=folder / "errors.txt", silence=SILENCE)


WEATHER = HostileFiles()


# In the child


def main(seed: int, folder: Path) -> None:
    warnings.simplefilter("ignore")
    dice = random.Random(seed)
    chosen = dice.sample(material.LAYOUTS, 4)
    sets = {pair: material.make_set(folder / "-".join(pair), *pair) for pair in chosen}
    things = _Things(dice, folder, sets)
    makers = [things.data_set] * 5 + [things.picture] * 4 + [things.model_archive] * 2 + [things.endpoint_archive]
    for number in range(THINGS):
        maker = dice.choice(makers)
        with _measured(f"thing {number} of {maker.__name__}"):
            maker(folder / f"thing-{number}")
        shutil.rmtree(folder / f"thing-{number}", ignore_errors=True)


class _Things:
    """Makes one thing each, and hands it to what reads it."""

    def __init__(self, dice: random.Random, folder: Path, sets: Mapping[tuple[str, TaskName], Path]) -> None:
        self._dice, self._sets, self._model = dice, sets, folder / "colours.tar.gz"
        self._loaded: Any = None

    def data_set(self, at: Path) -> None:
        """A data set of a few changed files through the verbs of `clary data`."""
        (layout, task), source = self._dice.choice(list(self._sets.items()))
        shutil.copytree(source, at)
        files = sorted(path for path in at.rglob("*") if path.is_file())
        done = [worsen(self._dice, path) for path in self._dice.sample(files, self._dice.choice([1, 1, 2]))]
        said = f"{layout} for {task}, {'; '.join(done)}"
        other = self._dice.choice(["folder", "lst", "coco", "yolo", "voc", "masks", "recordio", "augmented-manifest"])
        out = at.with_name("out")
        verbs = [["show", str(at), "--out", str(out)], ["convert", str(at), str(out), "--to", other]]
        verbs += [["split", str(at), str(out)], ["pack", str(at), str(out)]]
        for words in (["check", str(at), "--task", task], self._dice.choice(verbs)):
            _command(["data", *words], said)
            shutil.rmtree(out, ignore_errors=True)
            out.unlink(missing_ok=True)
        child.tell(tried="data sets")

    def picture(self, at: Path) -> None:
        """A picture to everything that decodes one, as an endpoint would and as training does."""
        from clary.vision.base import decoding, preprocessing
        from clary.vision.base.preprocessing import Preprocess

        kind = self._dice.choice(["JPEG", "JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF"])
        options: dict[str, Any] = {"progressive": True} if kind == "JPEG" and self._dice.random() < 0.3 else {}
        data = mutate(
            self._dice, material.picture(kind, *self._dice.choice([(64, 48), (7, 200), (300, 300)]), **options)
        )
        how = self._dice.choice([Preprocess(32, 32, resize=36), Preprocess(48, 64, crop="squash"), Preprocess.whole()])
        uses: list[Callable[[], object]] = [
            lambda: decoding.inspect(data),
            lambda: decoding.decode(data),
            lambda: decoding.decode(data, strict=False, at_least=32),
            lambda: decoding.decode_mask(data),
            lambda: preprocessing.prepare_sized(data, how),
            lambda: self._colours().predict([data]),
        ]
        for use in uses:
            _guarded(use, f"{kind} of {len(data)} bytes")
        child.tell(tried="pictures")

    def model_archive(self, at: Path) -> None:
        """`clary predict` with an archive that somebody sent."""
        at.mkdir()
        (at / "model.tar.gz").write_bytes(_changed_archive(self._dice, self._model.read_bytes()))
        (at / "red.jpg").write_bytes(material.colour_jpeg("red"))
        engine = self._dice.choice(["openvino", "onnxruntime", "torch"])
        _command(["predict", str(at / "model.tar.gz"), str(at / "red.jpg"), "--engine", engine], engine)
        child.tell(tried="model archives")

    def endpoint_archive(self, at: Path) -> None:
        """What an endpoint does with one: unpacked from the store, then loaded."""
        from clary.control.hosting.failure import StartFailed
        from clary.control.hosting.model_data import place
        from clary.control.objects.local import LocalStore
        from clary.vision.inference.predictor import load

        at.mkdir()
        store = LocalStore(at / "s3")
        store.create_bucket("box", "us-east-1")
        (at / "model").write_bytes(_changed_archive(self._dice, self._model.read_bytes()))
        store.put("box", "model.tar.gz", at / "model")

        def deploy() -> None:
            with contextlib.suppress(StartFailed):
                place("s3://box/model.tar.gz", at / "v", store, archive=True)
                with load(at / "v", streams=2) as model:
                    model.predict([material.colour_jpeg("red")])

        _guarded(deploy, "an endpoint's start")
        child.tell(tried="endpoints' archives")

    def _colours(self) -> Any:
        from clary.vision.inference.predictor import load

        self._loaded = self._loaded or load(self._model)
        return self._loaded


def _changed_archive(dice: random.Random, data: bytes) -> bytes:
    """The archive with changed bytes; or whole, with a changed file in it, whose checksum is right half of the time."""
    if dice.random() < 0.3:
        return mutate(dice, data)
    plain = gzip.decompress(data)
    if dice.random() < 0.3:
        return gzip.compress(mutate(dice, plain), 1)
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        files = {member.name: archive.extractfile(member) for member in archive.getmembers() if member.isfile()}
        held = {name: file.read() for name, file in files.items() if file}
    name = dice.choice(sorted(held))
    held[name] = mutate(dice, held[name])
    if name != "manifest.json" and dice.random() < 0.5:
        manifest = json.loads(held["manifest.json"])
        entry = manifest["files"][name]
        entry |= {"bytes": len(held[name]), "sha256": hashlib.sha256(held[name]).hexdigest()}
        held["manifest.json"] = json.dumps(manifest).encode()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as made:
        for name, content in held.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def _command(words: list[str], said: str) -> None:
    """`clary` with ``words`` in this process: it must end with one of its codes, in words for people."""
    from clary.cli.main import main as clary

    output, errors = io.StringIO(), io.StringIO()

    def call() -> None:
        sys.argv = ["clary", *words]
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                clary()
            except SystemExit as end:
                if (end.code or 0) not in EXITS:
                    child.tell(found=f"clary {' '.join(words[:2])}: exit code {end.code}", detail=said)

    _guarded(call, f"clary {' '.join(words[:2])}, {said}")
    for error in tracebacks(output.getvalue() + errors.getvalue()):
        child.tell(found=f"clary {words[0]} prints a traceback: {error}", detail=said)


def _guarded(call: Callable[[], object], said: str) -> None:
    """Whatever it raises but an error of ours is a find."""
    try:
        call()
    except ClaryError as error:
        if "\n" in str(error):
            child.tell(found=f"an error of more than one line: {error}", detail=said)
    except Exception as error:  # noqa: BLE001  # any is a find
        places = [frame for frame in traceback.extract_tb(error.__traceback__) if "/clary/" in frame.filename]
        at = f"{places[-1].filename.rpartition('/clary/')[2]}:{places[-1].lineno}" if places else "tests"
        child.tell(found=f"{type(error).__name__} in {at}: {error}", detail=said)


@contextlib.contextmanager
def _measured(doing: str) -> Iterator[None]:
    """Time of this process, and the most memory that it had."""
    child.tell(on=doing)
    _forget_peak()
    before, start = _memory("VmRSS"), time.process_time()
    yield
    took, grown = time.process_time() - start, _memory("VmHWM") - before
    if took > SECONDS:
        child.tell(found=f"{doing} took {took:.0f} s")
    if grown > MEMORY:
        child.tell(found=f"{doing} took {grown >> 20} MiB of memory")


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): VmHWM begins anew


def _memory(name: str) -> int:
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index(f"{name}:") + 1]) << 10


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
