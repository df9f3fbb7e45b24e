"""Drawn pets: the layout, what is known of each picture, and that equal seeds give equal bytes."""

from __future__ import annotations

import hashlib
import itertools
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from clary.drawn import BREEDS, draw_pets
from clary.drawn.body import POSES
from clary.drawn.composition import Drawing, draw
from clary.drawn.painter import Painter
from clary.drawn.scene import PLACES
from clary.errors import UsageError
from clary.vision import formats
from clary.vision.base import decoding

CATS = ("Ginger_Tabby", "Gray_Shorthair", "Siamese")
DOGS = ("beagle", "dalmatian", "terrier")
SMALL = (80, 60)

seeds = st.integers(0, 2**32)
sizes = st.tuples(st.integers(32, 160), st.integers(32, 160))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pets(tmp_path_factory.mktemp("drawn") / "pets", images=30, size=(120, 90))


def lines(root: Path, name: str) -> list[list[str]]:
    text = (root / "annotations" / f"{name}.txt").read_text()
    return [line.split() for line in text.splitlines() if not line.startswith("#")]


def files(root: Path) -> dict[str, str]:
    """Digest of every file below ``root``."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def some(breed: str, seed: int, size: tuple[int, int] = SMALL) -> Drawing:
    return draw(BREEDS[breed], np.random.default_rng(seed), size)


class TestLayout:
    def test_the_reader_of_the_official_set_reads_it(self, root):
        found = formats.read(root)
        assert found.format == "oxford"
        assert sorted(found.class_names) == sorted((*CATS, *DOGS))
        assert {name: len(samples) for name, samples in found.splits.items()} == {"train": 18, "test": 12}
        assert [problem for problem in found.problems if problem.severity == "error"] == []

    def test_cats_and_dogs(self, root):
        found = formats.read(root, labels="species")
        assert [name.casefold() for name in found.class_names] == ["cat", "dog"]
        assert found.counts("train") == [9, 9]

    def test_every_picture_is_in_one_split(self, root):
        train, test = ({line[0] for line in lines(root, name)} for name in ("trainval", "test"))
        assert train | test == {path.stem for path in (root / "images").iterdir()}
        assert not train & test
        assert {line[0] for line in lines(root, "list")} == train | test

    def test_columns(self, root):
        rows = {name.rpartition("_")[0]: tuple(map(int, ids)) for name, *ids in lines(root, "list")}
        assert rows == {
            "beagle": (1, 2, 1),
            "dalmatian": (2, 2, 2),
            "Ginger_Tabby": (3, 1, 1),
            "Gray_Shorthair": (4, 1, 2),
            "Siamese": (5, 1, 3),
            "terrier": (6, 2, 3),
        }

    def test_names_of_cats_begin_with_a_capital(self):
        assert {name for name, breed in BREEDS.items() if breed.species == "cat"} == set(CATS)
        assert all(name[0].isupper() == (breed.species == "cat") for name, breed in BREEDS.items())

    def test_splits_are_stratified(self, root):
        for name, expected in (("trainval", 3), ("test", 2)):
            counts = Counter(line[1] for line in lines(root, name))
            assert set(counts.values()) == {expected}
            assert len(counts) == 6

    def test_every_picture_has_its_annotations(self, root):
        for path in (root / "images").iterdir():
            pixels = decoding.load(path)
            with Image.open(root / "annotations/trimaps" / f"{path.stem}.png") as image:
                assert image.mode == "L"
                trimap = np.asarray(image)
            assert trimap.shape == pixels.shape[:2] == (90, 120)
            assert set(np.unique(trimap)) <= {1, 2, 3}
            self.check_xml(root / "annotations/xmls" / f"{path.stem}.xml", trimap)

    @staticmethod
    def check_xml(path: Path, trimap: np.ndarray) -> None:
        xml = ET.parse(path).getroot()
        height, width = trimap.shape
        assert xml.findtext("filename") == f"{path.stem}.jpg"
        assert [xml.findtext(f"size/{side}") for side in ("width", "height", "depth")] == [str(width), str(height), "3"]
        assert xml.findtext("object/name") == ("cat" if path.stem[0].isupper() else "dog")
        left, top, right, bottom = (
            int(xml.findtext(f"object/bndbox/{n}") or 0) for n in ("xmin", "ymin", "xmax", "ymax")
        )
        assert 1 <= left <= right <= width
        assert 1 <= top <= bottom <= height

    def test_pictures_are_plain_jpegs_of_many_qualities(self, root):
        data = [path.read_bytes() for path in (root / "images").iterdir()]
        assert {decoding.inspect(one).format for one in data} == {"JPEG"}
        assert len({len(one) for one in data}) > 20


class TestSeeds:
    def test_equal_seeds_give_equal_bytes(self, root, tmp_path):
        assert files(draw_pets(tmp_path / "pets", images=30, size=(120, 90))) == files(root)

    def test_other_seeds_give_other_pictures(self, root, tmp_path):
        other = files(draw_pets(tmp_path / "pets", images=30, size=(120, 90), seed=1))
        same = {name for name, digest in files(root).items() if other[name] == digest}
        assert {name.split("/")[0] for name in same} == {"annotations"}
        assert not any("xmls" in name for name in same)

    def test_a_larger_set_holds_the_smaller_one(self, root, tmp_path):
        smaller = draw_pets(tmp_path / "pets", images=13, size=(120, 90))
        few, many = files(smaller), files(root)
        assert {name for name, digest in few.items() if many.get(name) != digest} == {
            f"annotations/{name}.txt" for name in ("list", "trainval", "test")
        }
        for name in ("trainval", "test"):
            assert {tuple(line) for line in lines(smaller, name)} <= {tuple(line) for line in lines(root, name)}

    def test_sizes_are_those_of_photographs(self):
        shapes = [draw(BREEDS["Siamese"], np.random.default_rng(seed)).animal.shape for seed in range(12)]
        assert len(set(shapes)) > 8
        assert all(190 < side <= 400 for shape in shapes for side in shape)


class TestPictures:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(sorted(BREEDS)), seeds, sizes)
    def test_whatever_the_seed(self, breed, seed, size):
        found = some(breed, seed, size)
        width, height = size
        assert found.pixels.shape == (height, width, 3)
        assert found.pixels.dtype == found.animal.dtype == np.uint8
        assert found.animal.shape == (height, width)
        left, top, right, bottom = found.head
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        inside = found.animal[top:bottom, left:right] > 127
        assert inside.mean() > 0.1, "the head is where its box is"
        assert 0.001 < (found.animal > 127).mean() < 0.99
        assert 1 <= found.quality <= 100
        assert found.pose in {pose.name for pose in POSES}

    @pytest.mark.parametrize("breed", sorted(BREEDS))
    def test_every_pose(self, breed):
        assert {some(breed, seed, (40, 32)).pose for seed in range(60)} == {pose.name for pose in POSES}

    @pytest.mark.parametrize("place", PLACES, ids=[place.__name__ for place in PLACES])
    @pytest.mark.parametrize("size", [(32, 32), (400, 300), (40, 200)])
    def test_every_place(self, place, size):
        painter = Painter(size[1], size[0], np.random.default_rng(3))
        assert 0.2 < place(painter) < 1
        assert painter.pixels.shape == (size[1], size[0], 3)
        assert painter.pixels.std() > 1, "something is painted"

    def test_shares_of_poses(self):
        assert sum(pose.share for pose in POSES) == pytest.approx(1)

    def test_a_large_picture(self):
        assert some("terrier", 1, (1400, 900)).pixels.shape == (900, 1400, 3)


@pytest.fixture(scope="module")
def colours() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean colour of the animal, and of all else, by breed."""
    found = {}
    for name in BREEDS:
        drawings = [some(name, seed, (64, 64)) for seed in range(60)]
        animal = np.array([one.pixels[one.animal > 200].mean(axis=0) for one in drawings])
        place = np.array([one.pixels[one.animal == 0].mean(axis=0) for one in drawings])
        found[name] = animal.mean(axis=0), place.mean(axis=0)
    return found


class TestBreeds:
    """What tells the breeds apart is the coat, not the place."""

    def test_coats(self, colours):
        red, _, blue = colours["Ginger_Tabby"][0]
        assert red - blue > 50
        assert np.ptp(colours["Gray_Shorthair"][0]) < 30
        assert colours["dalmatian"][0].mean() > colours["Gray_Shorthair"][0].mean() + 20

    def test_places(self, colours):
        for one, other in itertools.combinations(BREEDS, 2):
            assert np.abs(colours[one][1] - colours[other][1]).max() < 30

    def test_some_breeds_only(self, tmp_path):
        root = draw_pets(tmp_path / "pets", images=4, size=SMALL, breeds=("terrier", "Siamese"))
        assert [line[1:] for line in lines(root, "list")] == [["1", "1", "1"]] * 2 + [["2", "2", "1"]] * 2
        assert {line[0].rpartition("_")[0] for line in lines(root, "test")} == {"terrier", "Siamese"}


class TestUse:
    def test_progress(self, tmp_path):
        calls: list[None] = []
        draw_pets(tmp_path / "pets", images=12, size=SMALL, progress=lambda: calls.append(None))
        assert len(calls) == 12

    def test_an_empty_folder_is_filled(self, tmp_path):
        assert draw_pets(str(tmp_path), images=12, size=SMALL) == tmp_path
        assert len(list((tmp_path / "images").iterdir())) == 12

    def test_a_folder_with_something_in_it_is_refused(self, tmp_path):
        (tmp_path / "mine.txt").touch()
        with pytest.raises(UsageError, match="not empty"):
            draw_pets(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

    def test_nothing_is_left_when_it_breaks_off(self, tmp_path):
        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            draw_pets(tmp_path / "pets", images=12, size=SMALL, progress=stop)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"images": 11}, "too few"),
            ({"images": -1}, "too few"),
            ({"size": (31, 100)}, "no size"),
            ({"size": (100, 5000)}, "no size"),
            ({"breeds": ()}, "breeds must be named"),
            ({"breeds": ("beagle", "beagle")}, "breeds must be named"),
            ({"breeds": ("poodle",)}, r"no breed `poodle`.*choose from beagle"),
            ({"seed": -1}, "no seed"),
        ],
    )
    def test_what_cannot_be_drawn(self, tmp_path, options, message):
        with pytest.raises(UsageError, match=message) as caught:
            draw_pets(tmp_path / "pets", **options)
        assert caught.value.hint
        assert list(tmp_path.iterdir()) == []
