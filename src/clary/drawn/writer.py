"""Drawn pictures on disk, in the layout of the Oxford-IIIT Pet set.

``images/NAME.jpg``; ``annotations/list.txt``, ``trainval.txt`` and ``test.txt`` with lines
``NAME CLASS-ID SPECIES BREED-ID`` (ids from 1, species 1 is cat and 2 is dog, breeds counted within their species);
``annotations/trimaps/NAME.png`` (1 pet, 2 background, 3 border); ``annotations/xmls/NAME.xml`` (Pascal VOC, one
object: the head, named cat or dog). As in the official set, names of cats begin with a capital letter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from clary.drawn.breeds import BREEDS, Breed, breed_named
from clary.drawn.composition import Drawing, draw
from clary.errors import UsageError
from clary.vision.base.files import atomic_folder

__all__ = ["draw_pets"]

_SMALLEST = 32  # pixels; nothing can be made out below
_LARGEST = 4096

_HEADER = """\
#Image CLASS-ID SPECIES BREED ID
#ID: 1:{classes} Class ids
#SPECIES: 1:Cat 2:Dog
#BREED ID: 1:{cats} Cat 1:{dogs} Dog
#All images with 1st letter as capital are cat images
#images with small first letter are dog images
"""

_XML = """\
<annotation><folder>drawn</folder><filename>{name}.jpg</filename><source><database>Drawn pets</database>\
<annotation>drawn</annotation><image>drawn</image></source>\
<size><width>{width}</width><height>{height}</height><depth>3</depth></size><segmented>0</segmented>\
<object><name>{species}</name><pose>{pose}</pose><truncated>0</truncated><occluded>0</occluded>\
<bndbox><xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox>\
<difficult>0</difficult></object></annotation>
"""


def draw_pets(
    root: Path | str,
    *,
    images: int = 240,
    size: tuple[int, int] | None = None,
    breeds: Sequence[str] = tuple(BREEDS),
    seed: int = 0,
    progress: Callable[[], object] | None = None,
) -> Path:
    """Draw ``images`` pictures of cats and dogs, the breeds taking turns, into ``root``; return ``root``.

    60 % of each breed are in ``trainval``, 40 % in ``test``. ``size`` is (width, height) in pixels, 32 to 4096; by
    default sizes vary around 350 pixels. ``progress`` is called once for each picture. Picture ``i`` depends on
    ``seed``, ``i`` and ``breeds`` only, so a larger set holds the smaller one; the same seed gives the same bytes
    (with the same versions of NumPy, OpenCV and simplejpeg).

    Written whole or not at all. Raises UsageError: ``root`` is not empty, no such breed, fewer than two pictures of
    a breed, a size out of range.
    """
    root = Path(root)
    if not breeds or len(set(breeds)) < len(breeds):
        raise UsageError("breeds must be named, and each of them once", hint=f"choose from {', '.join(BREEDS)}")
    chosen = tuple(breed_named(name) for name in breeds)
    _check_counts(images, len(chosen), size, seed)
    with atomic_folder(root) as folder:
        for part in ("images", "annotations/trimaps", "annotations/xmls"):
            (folder / part).mkdir(parents=True)

        def make(index: int) -> None:
            # A generator a picture: threads may draw in any order, and a larger set holds the smaller one.
            drawing = draw(chosen[index % len(chosen)], np.random.default_rng([seed, index]), size)
            _write(folder, _name(index, chosen), drawing)

        # Threads: OpenCV and the JPEG encoder leave Python's lock.
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as workers:
            for _ in workers.map(make, range(images)):
                if progress:
                    progress()
        _write_lists(folder / "annotations", images, chosen)
    return root


def _check_counts(images: int, breeds: int, size: tuple[int, int] | None, seed: int) -> None:
    if images < 2 * breeds:
        hint = f"draw {2 * breeds} or more, or fewer breeds"
        raise UsageError(f"{images} pictures are too few for {breeds} breeds, one each to train and test", hint=hint)
    if size is not None and not all(_SMALLEST <= side <= _LARGEST for side in size):
        what = f"{size[0]}x{size[1]} is no size to draw"
        raise UsageError(what, hint=f"name a width and a height of {_SMALLEST} to {_LARGEST} pixels")
    if seed < 0:
        raise UsageError(f"{seed} is no seed", hint="use a whole number from 0")


def _name(index: int, breeds: Sequence[Breed]) -> str:
    return f"{breeds[index % len(breeds)].name}_{index // len(breeds) + 1}"


def _write(folder: Path, name: str, drawing: Drawing) -> None:
    notes = folder / "annotations"
    jpeg = simplejpeg.encode_jpeg(drawing.pixels, quality=drawing.quality)
    (folder / "images" / f"{name}.jpg").write_bytes(jpeg)
    trimap = cv2.imencode(".png", _trimap(drawing.animal), [cv2.IMWRITE_PNG_COMPRESSION, 3])[1]
    (notes / "trimaps" / f"{name}.png").write_bytes(bytes(trimap))
    (notes / "xmls" / f"{name}.xml").write_text(_xml(name, drawing))


def _trimap(animal: np.ndarray) -> np.ndarray:
    """1 where all is animal, 2 where nothing is, 3 on a border between them: a twentieth of the shorter side wide, as
    it is in the official set."""
    reach = max(1, round(min(animal.shape) / 40))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    inside = (animal > 127).astype(np.uint8)
    trimap = np.full(animal.shape, 3, np.uint8)
    # Eroded and dilated by the same: the border lies half inside the animal and half outside, as drawn by hand.
    trimap[cv2.erode(inside, kernel) == 1] = 1
    trimap[cv2.dilate(inside, kernel) == 0] = 2
    return trimap


def _xml(name: str, drawing: Drawing) -> str:
    height, width = drawing.animal.shape
    left, top, right, bottom = drawing.head
    return _XML.format(
        name=name,
        width=width,
        height=height,
        species=drawing.breed.species,
        pose=drawing.pose,
        # VOC counts pixels from 1 and includes the last, so right and bottom are as they are.
        left=left + 1,
        top=top + 1,
        right=right,
        bottom=bottom,
    )


def _write_lists(folder: Path, images: int, breeds: Sequence[Breed]) -> None:
    order = sorted(range(images), key=lambda i: (breeds[i % len(breeds)].name.casefold(), i))
    ids = _ids(breeds)
    lines = {i: f"{_name(i, breeds)} {ids[i % len(breeds)]}\n" for i in order}
    # 40 % of each breed, by the number within it: a picture's split does not change when more are drawn.
    test = {i for i in order if i // len(breeds) % 5 in (1, 3)}
    cats = sum(breed.species == "cat" for breed in breeds)
    header = _HEADER.format(classes=len(breeds), cats=cats, dogs=len(breeds) - cats)
    (folder / "list.txt").write_text(header + "".join(lines.values()))
    (folder / "trainval.txt").write_text("".join(line for i, line in lines.items() if i not in test))
    (folder / "test.txt").write_text("".join(line for i, line in lines.items() if i in test))


def _ids(breeds: Sequence[Breed]) -> list[str]:
    """CLASS-ID, SPECIES and BREED-ID of each breed: numbered by name, upper and lower case alike."""
    # As in the official set, where Abyssinian is 1 and american_bulldog 2.
    order = sorted(breeds, key=lambda breed: breed.name.casefold())
    ids = []
    for breed in breeds:
        kind = [one for one in order if one.species == breed.species]
        ids.append(f"{order.index(breed) + 1} {1 if breed.species == 'cat' else 2} {kind.index(breed) + 1}")
    return ids
