from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import ImageColor

from clary.vision.plots import samples

Make = Callable[..., np.ndarray]


def solid(colour: tuple[int, int, int], width: int = 50, height: int = 90) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


class TestGrid:
    @pytest.mark.parametrize(("count", "across", "down"), [(0, 1, 1), (1, 1, 1), (4, 4, 1), (5, 4, 2), (12, 4, 3)])
    def test_cells_are_uniform(self, image: Make, count: int, across: int, down: int) -> None:
        images = [(image(40 + 9 * n, 80 - 5 * n, n), f"class {n}") for n in range(count)]
        sheet = samples.grid(images, columns=4, cell=60)
        step, rise = 60 + samples.GAP, 60 + samples.CAPTION + samples.GAP
        assert sheet.size == (across * step - samples.GAP, down * rise - samples.GAP)

    def test_each_picture_fills_its_cell_in_reading_order(self) -> None:
        colours = [(200, 10, 10), (10, 200, 10), (10, 10, 200)]
        pixels = np.asarray(samples.grid([(solid(c), "") for c in colours], columns=2, cell=60))
        for n, colour in enumerate(colours):
            top, left = n // 2 * (60 + samples.CAPTION + samples.GAP), n % 2 * (60 + samples.GAP)
            cell = pixels[top : top + 60, left : left + 60]
            assert (cell[10:50, 10:50] == colour).all()
            assert cell[0, 0].tolist() == [255, 255, 255]  # round corners
            assert (cell[0, 20:40] == colour).all()

    def test_captions_stay_in_their_cell(self, image: Make) -> None:
        long = samples.grid([(image(), "a name much longer than its picture is wide")] * 2, columns=2, cell=60)
        line = np.asarray(long)[60:, 60 : 60 + samples.GAP]
        assert (line == 255).all()
        assert (np.asarray(long)[60:, :60] < 128).any()

    def test_any_caption_can_be_drawn(self, image: Make) -> None:
        for caption in ("", "Äffchen", "猫", "a\nb", "\0", "\udce9", "💥" * 50):
            samples.grid([(image(), caption)], cell=60)

    def test_pictures_stay_as_they_are(self, image: Make) -> None:
        pixels = image()
        before = pixels.copy()
        samples.grid([(pixels, "x")])
        assert np.array_equal(pixels, before)


class TestDistribution:
    def colours(self, counts: dict[str, list[int]], names: list[str]) -> dict[str, int]:
        """Pixels of each split's colour, without the legend."""
        pixels = np.asarray(samples.distribution(names, counts))[30:]
        return {
            split: int((pixels == ImageColor.getrgb(colour)).all(axis=2).sum())
            for split, colour in samples.SPLITS.items()
        }

    def test_bars_are_as_long_as_counts(self) -> None:
        found = self.colours({"train": [60, 20], "test": [20, 0]}, ["cat", "dog"])
        assert found["validation"] == 0
        assert found["train"] / found["test"] == pytest.approx(4, rel=0.1)

    def test_no_pictures_no_bars(self) -> None:
        assert sum(self.colours({"train": [0, 0]}, ["cat", "dog"]).values()) == 0
        assert sum(self.colours({"train": []}, []).values()) == 0

    def test_of_many_classes_the_rarest(self) -> None:
        names = [f"class {n}" for n in range(500)]
        few = samples.distribution(names, {"train": list(range(1, 501))})
        assert few.height < (samples.MOST_CLASSES + 4) * samples.ROW


def test_the_page_holds_both(image: Make) -> None:
    grid = samples.grid([(image(), "x")] * 3)
    chart = samples.distribution(["cat"], {"train": [3]})
    page = samples.sheet("a title", "a line below", grid, chart)
    assert page.width > grid.width + chart.width
    assert page.height > max(grid.height, chart.height)
    at = (samples.MARGIN + 50, samples.MARGIN + 66 + 50)
    assert page.getpixel(at) == grid.getpixel((50, 50))


def test_no_chart_library_is_loaded() -> None:
    script = "import sys; import clary.vision.plots.samples; print({'matplotlib', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
