from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clary.vision import formats

Tree = Callable[..., Path]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def root(tmp_path: Path, class_folders: Tree) -> Path:
    """Two clean classes, with a test split."""
    return class_folders(tmp_path / "pets", {"train/cat": 6, "train/dog": 6, "test/cat": 2, "test/dog": 1})


class TestCheck:
    def test_a_clean_set(self, cli: Cli, root: Path) -> None:
        code, out, err = cli("data", "check", root)
        assert code == 0
        assert out.splitlines() == [
            "class (folder)  train  test",
            "cat                 6     2",
            "dog                 6     1",
            "all pictures       12     3",
            "",
            "no errors, 0 notes",
        ]
        assert err == "checking pictures: 15 of 15\n"

    def test_every_bad_record_then_notes_then_counts(self, cli: Cli, root: Path, encoded: Callable[..., bytes]) -> None:
        (root / "train/cat/0.jpg").write_bytes(b"")
        (root / "train/dog/3.jpg").write_bytes(b"GIF89a")
        (root / "test/dog/0.jpg").write_bytes(encoded("PNG", seed=70))
        (root / "train/dog/Thumbs.db").touch()
        code, out, _ = cli("data", "check", root)
        lines = out.splitlines()
        assert code == 1
        assert lines[0] == "error  train/cat/0.jpg: is empty (0 bytes); remove it or copy it again"
        assert lines[1].startswith("error  train/dog/3.jpg: is ")
        assert lines[2].startswith("note   train: has 1 file hidden or no picture, left out: train/dog/Thumbs.db")
        assert lines[3].startswith("note   test/dog/0.jpg: is a PNG file; rename it to .png")
        assert lines[5].split() == ["class", "(folder)", "train", "test"]
        assert lines[-1] == "2 errors, 2 notes"

    def test_json(self, cli: Cli, root: Path) -> None:
        (root / "train/cat/0.jpg").write_bytes(b"")
        code, out, _ = cli("data", "check", root, "--json")
        found = json.loads(out)
        assert code == 1
        assert found["format"] == "folder"
        assert found["classes"] == ["cat", "dog"]
        assert found["counts"] == {"train": [5, 6], "test": [2, 1]}
        assert found["errors"] == [
            {"where": "train/cat/0.jpg", "what": "is empty (0 bytes)", "mend": "remove it or copy it again"}
        ]
        assert found["notes"] == []

    def test_many_notes_of_a_kind_are_summed_up(self, cli: Cli, root: Path, image: Callable[..., np.ndarray]) -> None:
        for number in range(15):
            gray = Image.fromarray(image(seed=number + 40)).convert("L")
            gray.save(root / f"train/cat/gray{number}.png")
        code, out, _ = cli("data", "check", root)
        told = [line for line in out.splitlines() if line.startswith("note")]
        assert code == 0
        assert len(told) == 6
        assert told[-1] == "note   ... and 10 more: is grayscale (--json lists all)"
        assert len(json.loads(cli("data", "check", root, "--json")[1])["notes"]) == 15

    def test_many_bad_masks_are_summed_up_and_counted(self, cli: Cli, tmp_path: Path) -> None:
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir()
        for number in range(7):
            for folder in ("images", "masks"):
                Image.new("RGB", (40, 40), (number, 9, 40)).save(tmp_path / folder / f"{number}.png")
        code, out, _ = cli("data", "check", tmp_path)
        told = [line for line in out.splitlines() if line.startswith("error")]
        assert code == 1
        what = "is RGB with 8 bits a channel, not a mask of one channel"
        assert told[0] == f"error  masks/0.png: {what}; convert it to a palette PNG of class ids"
        assert told[5:] == [f"error  ... and 2 more: {what} (--json lists all)"]
        assert "left out: 7 files or records (7 with a mask that cannot be used)" in out
        # Of masks that cannot be opened, no class is known.
        assert "pixels of class" not in out
        assert "pictures (masks)" in out

    def test_very_many_notes_are_cut(self, cli: Cli, root: Path) -> None:
        for number in range(105):  # each picture twice, under its class
            Image.new("RGB", (40, 40), (number, 0, 0)).save(root / f"train/cat/{number}.png")
            (root / f"train/cat/copy{number}.png").write_bytes((root / f"train/cat/{number}.png").read_bytes())
        _, out, _ = cli("data", "check", root)
        told = [line for line in out.splitlines() if line.startswith("note")]
        assert len(told) == 101
        assert told[-1] == "note   ... 105 notes in all (--json lists them)"

    def test_a_folder_that_is_no_data_set(self, cli: Cli, tmp_path: Path) -> None:
        code, out, err = cli("data", "check", tmp_path / "missing")
        assert (code, out) == (2, "")
        assert err == f"clary: {tmp_path}/missing: does not exist; check the path\n"

    def test_names_that_cannot_be_printed(self, root: Path) -> None:
        (root / "train/cat" / "bad\x1b[31m\n.jpg").write_bytes(b"")
        done = subprocess.run([sys.executable, "-m", "clary", "data", "check", str(root)], capture_output=True)
        assert done.returncode == 1
        assert done.stdout.splitlines()[0].startswith(b"error  train/cat/bad\\x1b[31m\\n.jpg: is empty")

    @pytest.mark.pets
    def test_real_pets(self, cli: Cli, pets: Path) -> None:
        code, out, _ = cli("data", "check", pets, "--labels", "species")
        assert code == 0
        assert out.splitlines()[-1] == "no errors, 3 notes"
        assert [line.split() for line in out.splitlines()[4:8]] == [
            ["class", "(oxford)", "train", "test"],
            ["cat", "163", "159"],
            ["dog", "74", "76"],
            ["all", "pictures", "237", "235"],
        ]


class TestLayouts:
    def test_each_is_drawn(self, cli: Cli) -> None:
        code, out, _ = cli("data", "layouts")
        assert code == 0
        for layout in formats.FORMATS:
            assert f"{layout.name}  ({', '.join(sorted(layout.tasks))})\n\n  ROOT/" in out
        assert "  ├── JPEGImages/000001.jpg\n" in out


class TestShow:
    def test_a_sheet(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        code, out, err = cli("data", "show", root, "--out", tmp_path / "sheet.png")
        assert (code, out, err) == (0, f"{tmp_path}/sheet.png\n", "")
        with Image.open(tmp_path / "sheet.png") as image:
            assert image.format == "PNG"
            assert image.width > 900

    def test_the_seed_decides(self, cli: Cli, tmp_path: Path, class_folders: Tree) -> None:
        class_folders(tmp_path / "many", {"cat": 40, "dog": 40})
        sheets = []
        for seed in (1, 1, 2):
            cli("data", "show", tmp_path / "many", "--out", tmp_path / "s.png", "--seed", seed)
            sheets.append((tmp_path / "s.png").read_bytes())
        assert sheets[0] == sheets[1] != sheets[2]

    def test_classes_take_turns(self, tmp_path: Path, class_folders: Tree) -> None:
        from clary.vision.plots.dataset_sheet import LEAST, chosen

        data = formats.read(class_folders(tmp_path, {"common": 60, "rare": 2, "scarce": 5}))
        found = [sample.classes[0] for sample in chosen(data.splits["train"], 3, seed=0)]
        assert len(found) == LEAST
        assert found[:6] == [0, 1, 2, 0, 1, 2]
        assert (found.count(1), found.count(2)) == (2, 5)

    def test_another_split(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        assert cli("data", "show", root, "--split", "test", "--out", tmp_path / "s.png")[0] == 0
        code, _, err = cli("data", "show", root, "--split", "validation", "--out", tmp_path / "v.png")
        assert code == 2
        assert "has no split `validation`; use train or test" in err
        assert not (tmp_path / "v.png").exists()

    def test_pictures_that_cannot_be_decoded_are_left_out(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        (root / "train/cat/0.jpg").write_bytes(b"")
        code, _, err = cli("data", "show", root, "--out", tmp_path / "s.png")
        assert code == 0
        assert err == f"left out 1 picture that cannot be decoded; `clary data check {root}` names it\n"

    def test_a_place_that_cannot_be_written(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        code, _, err = cli("data", "show", root, "--out", tmp_path / "file/s.png")
        assert code == 2
        assert "cannot be written" in err


class TestConvert:
    @pytest.fixture
    def boxes(self, tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
        """Three pictures in the layout of YOLO, one line wrong."""
        root = tmp_path / "boxes"
        for folder in ("images", "labels"):
            (root / folder).mkdir(parents=True)
        for seed in range(3):
            (root / f"images/{seed}.jpg").write_bytes(jpeg(seed=seed))
            (root / f"labels/{seed}.txt").write_text(f"{seed % 2} 0.5 0.5 0.5 0.5\n")
        (root / "labels/2.txt").write_text("0 0.5 0.5 0.5 0.5\n9 0.5 0.5 0.5 0.5\n")
        (root / "data.yaml").write_text("names: [cat, dog]\n")
        return root

    @pytest.mark.parametrize("layout", ["coco", "voc", "sagemaker-json", "recordio", "lst", "augmented-manifest"])
    def test_boxes_into_every_layout(self, cli: Cli, boxes: Path, tmp_path: Path, layout: str) -> None:
        code, out, err = cli("data", "convert", boxes, tmp_path / "out", "--to", layout)
        assert code == 0
        assert [line.split() for line in out.splitlines()] == [
            ["boxes", "of", "class", f"({layout})", "train"],
            ["cat", "2"],
            ["dog", "1"],
            ["all", "pictures", "3"],
        ]
        assert "left out  labels/2.txt:2: has the class id 9, which is unknown: class ids run from 0 to 1" in err
        assert "1 problem: what they name was left out" in err
        data = formats.read(tmp_path / "out")
        assert (data.format, data.task, data.class_names) == (layout, "detection", ("cat", "dog"))

    def test_the_task_follows_from_the_layout(self, cli: Cli, tmp_path: Path) -> None:
        cli("data", "draw", tmp_path / "pets", "--pictures", 24, "--seed", 1)
        for layout, task in (("yolo", "detection"), ("masks", "segmentation"), ("folder", "classification")):
            assert cli("data", "convert", tmp_path / "pets", tmp_path / layout, "--to", layout)[0] == 0
            assert formats.read(tmp_path / layout).task == task

    def test_an_unknown_layout(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        code, _, err = cli("data", "convert", root, tmp_path / "out", "--to", "recordi")
        assert (code, err) == (2, "clary: unknown formats `recordi`; use `recordio`\n")

    def test_a_layout_that_cannot_hold_it(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        code, _, err = cli("data", "convert", root, tmp_path / "out", "--to", "yolo")
        assert code == 2
        assert "the yolo layout is not written for classification data" in err
        assert not (tmp_path / "out").exists()

    def test_checking_and_splitting_boxes(self, cli: Cli, boxes: Path, tmp_path: Path) -> None:
        code, out, _ = cli("data", "check", boxes)
        assert code == 1
        assert "error  labels/2.txt:2: has the class id 9" in out
        (boxes / "labels/2.txt").write_text("1 0.5 0.5 0.5 0.5\n")
        found = json.loads(cli("data", "check", boxes, "--json")[1])
        assert (found["task"], found["boxes"], found["errors"]) == ("detection", {"train": 3}, [])
        assert cli("data", "split", boxes, tmp_path / "out", "--validation", 0.4)[0] == 0
        assert formats.read(tmp_path / "out").format == "yolo"

    def test_pictures_without_boxes_are_told_where_to_see_how_boxes_lie(self, cli: Cli, root: Path) -> None:
        code, out, err = cli("data", "check", root, "--task", "detection")
        assert (code, out) == (2, "")
        assert err == (
            f"clary: {root}: the folder layout holds no detection data; "
            "`clary data layouts` draws those that do, or use it for classification\n"
        )

    @pytest.mark.pets
    @pytest.mark.slow
    @pytest.mark.parametrize("task", ["detection", "segmentation"])
    def test_real_pets_are_shown_and_checked(self, cli: Cli, pets: Path, tmp_path: Path, task: str) -> None:
        assert cli("data", "show", pets, "--task", task, "--out", tmp_path / "s.png")[0] == 0
        code, out, _ = cli("data", "check", pets, "--task", task)
        assert code == 0
        rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line}
        if task == "detection":
            assert (rows["cat"], rows["dog"]) == (["160"], ["73"])
        else:
            assert (rows["pet"], rows["border"]) == (["27.4%", "26.5%"], ["11.8%", "12.0%"])


class TestPack:
    def test_class_folders(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        code, out, err = cli("data", "pack", root, tmp_path / "out", "--resize", 24, "--workers", 2)
        assert (code, err) == (0, "packing pictures: 15 of 15\n")
        assert out.splitlines()[0].split() == ["class", "(recordio)", "train", "test"]
        data = formats.read(tmp_path / "out")
        assert (data.format, data.problems, data.counts("test")) == ("recordio", (), [2, 1])

    def test_as_im2rec_lists_first(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        train = root / "train"
        code, *_ = cli("data", "pack", train, tmp_path / "l", "--list", "--recursive", "--train-ratio", 0.75)
        assert code == 0
        rows = (tmp_path / "l/train.lst").read_text().splitlines()
        assert len(rows) == 9
        assert len(rows[0].split("\t")) == 3
        code, *_ = cli("data", "pack", tmp_path / "l/train.lst", tmp_path / "out", "--root", train)
        assert code == 0
        assert len(formats.read(tmp_path / "out").splits["train"]) == 9

    def test_what_is_left_out_is_named(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        (root / "train/cat/0.jpg").write_bytes(b"nothing")
        code, out, err = cli("data", "pack", root, tmp_path / "out")
        assert code == 0
        assert out.splitlines()[-1].split() == ["all", "pictures", "11", "3"]
        assert "left out  train/cat/0.jpg: is not a picture" in err


class TestSplit:
    def test_class_folders(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        code, out, err = cli("data", "split", root, tmp_path / "out", "--validation", 0.5, "--seed", 3)
        assert (code, err) == (0, "")
        data = formats.read(tmp_path / "out")
        assert {split: data.counts(split) for split in data.splits} == {
            "train": [3, 3],
            "validation": [3, 3],
            "test": [2, 1],
        }
        assert data.problems == ()
        assert out.splitlines()[0].split() == ["class", "(folder)", "train", "validation", "test"]

    def test_the_default_is_a_fifth_and_repeats(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        for name in ("a", "b"):
            cli("data", "split", root, tmp_path / name)
        found = [sorted(p.relative_to(tmp_path / n).as_posix() for p in (tmp_path / n).rglob("*")) for n in ("a", "b")]
        assert found[0] == found[1]
        assert formats.read(tmp_path / "a").counts("validation") == [1, 1]

    def test_a_validation_split_stays_unless_asked(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        cli("data", "split", root, tmp_path / "a", "--validation", 0.5)
        _, _, err = cli("data", "split", tmp_path / "a", tmp_path / "b", "--validation", 0.2)
        assert "the validation split stays as it is; --replace makes a new one" in err
        assert formats.read(tmp_path / "b").counts("validation") == [3, 3]
        cli("data", "split", tmp_path / "a", tmp_path / "c", "--validation", 0.2, "--replace")
        assert formats.read(tmp_path / "c").counts("validation") == [1, 1]

    def test_a_full_folder_is_left_alone(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/file").touch()
        code, out, err = cli("data", "split", root, tmp_path / "out")
        assert (code, out) == (2, "")
        assert "is there already and not empty" in err
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]

    def test_wrong_data_is_not_split(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        (root / "train/bird").mkdir()
        code, _, err = cli("data", "split", root, tmp_path / "out")
        assert code == 2
        assert err == "clary: train/bird: is an empty class folder; add pictures or remove the folder\n"
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("fraction", ["1", "-0.5", "much"])
    def test_a_fraction_that_makes_no_sense(self, cli: Cli, root: Path, tmp_path: Path, fraction: str) -> None:
        assert cli("data", "split", root, tmp_path / "out", "--validation", fraction)[0] == 2
        assert not (tmp_path / "out").exists()

    def test_multi_label_sets_are_written_as_lists(self, cli: Cli, root: Path, tmp_path: Path) -> None:
        rows = [f"{n}\t{n % 2}\t1\tcat/{n}.jpg\n" for n in range(6)]
        (root / "train" / "train.lst").write_text("".join(rows))
        assert cli("data", "split", root / "train", tmp_path / "out", "--validation", 0.4)[0] == 0
        data = formats.read(tmp_path / "out")
        assert (data.format, data.multi_label) == ("lst", True)
        assert len(data.splits["validation"]) == 2

    @pytest.mark.pets
    def test_real_pets_as_class_folders(self, cli: Cli, pets: Path, tmp_path: Path) -> None:
        assert cli("data", "split", pets, tmp_path / "out")[0] == 0
        data = formats.read(tmp_path / "out")
        assert sorted(data.class_names) == ["Abyssinian", "Bengal", "american_bulldog"]
        assert len(data) == 472


class TestDrawAndFetch:
    def test_drawn_pets_pass_their_check(self, cli: Cli, tmp_path: Path) -> None:
        code, out, err = cli("data", "draw", tmp_path / "pets", "--pictures", 24, "--seed", 1)
        assert (code, out) == (0, f"{tmp_path}/pets\n")
        assert f"next: clary data check {tmp_path}/pets   clary train classification {tmp_path}/pets" in err
        code, out, _ = cli("data", "check", tmp_path / "pets")
        assert code == 0, out

    def test_fetching_from_a_folder_without_archives(self, cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        code, out, err = cli("data", "oxford-pets", tmp_path / "pets", "--from", tmp_path / "empty")
        assert (code, out) == (2, "")
        assert err.startswith("clary: ")
        assert not (tmp_path / "pets").exists()


def test_help_and_no_tensor_library() -> None:
    script = (
        "import sys; from clary.cli.main import main; sys.argv = ['clary', 'data', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print({'torch', 'numpy', 'cv2', 'PIL', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in ("check", "show", "convert", "pack", "split", "oxford-pets", "draw"))
    assert done.stdout.splitlines()[-1] == "set()"


def test_layouts_fit_a_terminal_of_100_columns(cli: Cli) -> None:
    code, out, _ = cli("data", "layouts")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 100
