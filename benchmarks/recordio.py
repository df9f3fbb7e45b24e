"""RecordIO: packing pictures as they are, and a cold first epoch from records against class folders.

    python benchmarks/recordio.py [--rounds 3] [--pictures 20000] [--folder FOLDER]

Small JPEGs of 20 to 30 kB, every one another (crops of the real pets, else of drawn ones), are written in class folders
to a temporary folder below ``--folder`` and packed into one ``.rec``. Each contestant runs in a process of its own, in
turn, ``rounds`` times; the medians are printed.

- packing: ``clary data pack`` with one worker, pictures passed through; its limit: the same bytes read and written to
  one file in a bare loop. MXNet's im2rec is no longer to be had for this Python, so there is no peer.
- reading: the list of pictures (``formats.read``), then the bytes of all in the order of an epoch, by the threads of
  our loader; decoded and resized to 224 pixels in a second, equally cold run. RecordIO and class folders by our
  loader; class folders by torchvision's ImageFolder with two threads, and with its DataLoader of two workers where
  pictures are decoded; limit: the ``.rec`` read from front to end.

Cold: all files are synced and their pages dropped by ``posix_fadvise(POSIX_FADV_DONTNEED)``, which needs no
administrator. Names and inodes stay in memory, to the advantage of folders. "from disk" is what really came from there
(``/proc/self/io``); where that is little, the folder lies in memory and nothing was cold: name another.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from _bench import machine, pets, process, table

CLASSES = 10
WIDTH, HEIGHT, QUALITY = 360, 270, 92
SIDE = 224  # pixels of a decoded picture
BATCH, THREADS = 32, 2
GOAL = "goals: RecordIO 1.5x class folders, packing 2,000 pictures/s by one core"

Result = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made; the system's place by default")
    parser.add_argument("--role", choices=sorted(ROLES), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        print(json.dumps(ROLES[options.role](options.root)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        root = Path(scratch)
        print(machine())
        size = _write_images(root / "folders" / "train", options.pictures)
        print(f"{options.pictures} JPEGs of {size / options.pictures / 1000:.1f} kB in {CLASSES} classes; {GOAL}")
        rounds = [{role: _run(role, root) for role in ROLES} for _ in range(options.rounds)]
    _print(rounds, options.pictures, size)


def _print(rounds: list[dict[str, Result]], images: int, size: int) -> None:
    def median(role: str, value: str) -> float:
        return statistics.median(one[role].get(value, float("nan")) for one in rounds)

    rows = [
        [name, f"{images / median(role, 'seconds'):.0f}", f"{images / median(role, 'processor'):.0f}"]
        for role, name in (("pack limit", "limit: bytes copied in a bare loop"), ("pack", "clary data pack"))
    ]
    print("\npacking, files in memory")
    table(["", "pictures/s", "by processor second"], rows)

    def speed(role: str) -> float:
        return statistics.median(images / (one[role]["listing"] + one[role]["seconds"]) for one in rounds)

    names = {"limit": "limit: .rec from front to end", "records": "RecordIO", "folders": "class folders"}
    names["peer"] = "ImageFolder"
    rows = [
        [
            name,
            f"{median(role, 'listing'):.2f}",
            f"{speed(role):.0f}",
            f"{speed(role) / speed('folders'):.2f}x",
            f"{100 * median(role, 'disk') / size:.0f} %",
            f"{speed(role + ' decoded'):.0f}" if role + " decoded" in ROLES else "",
        ]
        for role, name in names.items()
    ]
    print("\na cold first epoch, the list included")
    table(["", "list, s", "pictures/s", "of class folders", "from disk", "decoded pictures/s"], rows)
    print(f"{len(rounds)} rounds, medians")


def _run(role: str, root: Path) -> Result:
    with process(__file__, "--role", role, "--root", root) as child:
        out, _ = child.communicate()
    if child.returncode:
        sys.exit(f"{role} failed")
    found: Result = json.loads(out.splitlines()[-1])
    return found


def _write_images(folder: Path, count: int) -> int:
    """Write ``count`` different JPEGs into class folders; their bytes together."""
    import simplejpeg

    from clary.vision.base.decoding import decode
    from clary.vision.base.preprocessing import resize_shorter

    with tempfile.TemporaryDirectory() as scratch:
        files = _originals(Path(scratch))
        large = [resize_shorter(decode(file.read_bytes(), strict=False), HEIGHT * 4 // 3) for file in files]
    large = [pixels for pixels in large if pixels.shape[1] >= WIDTH]
    for c in range(CLASSES):
        (folder / f"class {c}").mkdir(parents=True)

    def write(number: int) -> int:
        random = np.random.default_rng(number)
        pixels = large[number % len(large)]
        top, left = (int(random.integers(0, pixels.shape[i] - side + 1)) for i, side in ((0, HEIGHT), (1, WIDTH)))
        crop = pixels[top : top + HEIGHT, left : left + WIDTH]
        crop = crop[:, :: random.choice([-1, 1])]
        data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(crop), QUALITY, "RGB", "420")
        return (folder / f"class {number % CLASSES}" / f"{number:06}.jpg").write_bytes(data)

    with ThreadPoolExecutor(THREADS) as pool:
        size = sum(pool.map(write, range(count)))
    os.sync()
    return size


def _originals(scratch: Path) -> list[Path]:
    from clary.drawn import draw_pets

    root = pets() or draw_pets(scratch / "drawn", images=48)
    return sorted((root / "images").glob("[!.]*.jpg"))[:120]


# Roles: each in a process of its own.


def pack(root: Path) -> Result:
    """Pack the folders anew; the records are what is read later."""
    from clary.vision import formats
    from clary.vision.datasets.pack import Packing
    from clary.vision.datasets.pack import pack as write_records

    shutil.rmtree(root / "records", ignore_errors=True)
    dataset = formats.read(root / "folders", task="classification")
    return _timed(lambda: write_records(dataset, root / "records", Packing()))


def pack_limit(root: Path) -> Result:
    """The bytes of all files written to one."""
    files = sorted((root / "folders").rglob("*.jpg"))

    def copy() -> None:
        with (root / "copy").open("wb") as out:
            for file in files:
                out.write(file.read_bytes())

    result = _timed(copy)
    (root / "copy").unlink()
    return result


def _timed(work: Callable[[], object]) -> Result:
    start, used = time.perf_counter(), time.process_time()
    work()
    return {"seconds": time.perf_counter() - start, "processor": time.process_time() - used}


def read_limit(root: Path) -> Result:
    """The file of records in pieces of a mebibyte."""

    def read() -> None:
        with (root / "records" / "train.rec").open("rb", buffering=0) as file:
            while file.read(1 << 20):
                pass

    return _cold(root, lambda: None, lambda _: read())


def read_ours(folder: str, decoded: bool) -> Callable[[Path], Result]:
    """An epoch by our loader."""

    def role(root: Path) -> Result:
        from clary.vision import formats
        from clary.vision.base import preprocessing
        from clary.vision.base.types import Dataset
        from clary.vision.datasets.loader import ImageCache, Loader

        class Bytes(ImageCache):
            """Pictures as they lie there."""

            def __getitem__(self, index: int) -> Any:
                return self._samples[index].image.read()

        def view(image: Any, target: int, random: object) -> tuple[np.ndarray, int]:
            if isinstance(image, bytes):
                return np.array([len(image)]), target
            return preprocessing.resize(image, SIDE, SIDE), target

        def listed() -> Dataset:
            return formats.read(root / folder, task="classification")

        def read(dataset: Dataset) -> None:
            samples = dataset.splits["train"]
            cache = (ImageCache if decoded else Bytes)(samples, None, SIDE, 0)
            targets = np.array([sample.classes[0] for sample in samples])
            loader = Loader(cache, targets, view, batch_size=BATCH, seed=0, shuffle=True, workers=THREADS)
            assert sum(len(batch) for batch in loader.epoch()) > len(samples) - BATCH

        return _cold(root, listed, read)

    return role


def read_peer(root: Path) -> Result:
    """An epoch's bytes from the list of torchvision's ImageFolder, by two threads."""
    from torchvision.datasets import ImageFolder

    def read(listed: Any) -> None:
        files = [path for path, _ in listed.samples]
        order = np.random.default_rng(0).permutation(len(files)).tolist()
        parts = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in pool.map(lambda part: [Path(files[i]).read_bytes() for i in part], parts):
                pass

    return _cold(root, lambda: ImageFolder(str(root / "folders" / "train")), read)


def decode_peer(root: Path) -> Result:
    """An epoch of torchvision's ImageFolder and a DataLoader of two workers."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize((SIDE, SIDE)), v2.PILToTensor()])

    def read(listed: Any) -> None:
        for _ in DataLoader(listed, BATCH, shuffle=True, num_workers=THREADS):
            pass

    return _cold(root, lambda: ImageFolder(str(root / "folders" / "train"), transform), read)


def _cold(root: Path, listing: Callable[[], Any], reading: Callable[[Any], None]) -> Result:
    """Drop all pages, then time the listing and the reading."""
    _drop(list(root.rglob("*")))
    disk, start = _from_disk(), time.perf_counter()
    found = listing()
    listed = time.perf_counter()
    reading(found)
    end = time.perf_counter()
    return {"listing": listed - start, "seconds": end - listed, "disk": _from_disk() - disk}


def _drop(files: Sequence[Path]) -> None:
    """Let go of what is in memory of these files."""
    for path in files:
        if path.is_file():
            place = os.open(path, os.O_RDONLY)
            try:
                os.fdatasync(place)
                os.posix_fadvise(place, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(place)


def _from_disk() -> float:
    """Bytes that this process, and children that ended, have had read from disk so far."""
    lines = (line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return float({name: int(value) for name, value in lines}["read_bytes"])


ROLES: dict[str, Callable[[Path], Result]] = {
    "pack limit": pack_limit,
    "pack": pack,
    "limit": read_limit,
    "records": read_ours("records", decoded=False),
    "folders": read_ours("folders", decoded=False),
    "peer": read_peer,
    "records decoded": read_ours("records", decoded=True),
    "folders decoded": read_ours("folders", decoded=True),
    "peer decoded": decode_peer,
}

if __name__ == "__main__":
    main()
