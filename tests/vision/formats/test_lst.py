from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clary.errors import CustomerError, DataError
from clary.vision import formats
from clary.vision.base.jobdir import Channel
from clary.vision.formats.lst import Lst, Row, parse_row, read_lst

Tree = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path, class_folders: Tree) -> Path:
    return class_folders(tmp_path / "pets", {"red": 3, "blue": 3})


def lines(*rows: str) -> str:
    return "".join(f"{row}\n" for row in rows)


class TestStandAlone:
    def test_one_list(self, root: Path) -> None:
        (root / "train.lst").write_text(lines("5\t1\tred/0.jpg", "1000\t0\tblue/0.jpg", "7\t1\tred/1.jpg"))
        data = formats.read(root)
        assert data.format == "lst"
        assert data.problems == ()
        assert data.class_names == ("blue", "red")
        assert [(s.classes, s.source) for s in data.splits["train"]] == [
            ((1,), "train.lst:1"),
            ((0,), "train.lst:2"),
            ((1,), "train.lst:3"),
        ]

    @pytest.mark.parametrize("place", ["images", "train", "pets_train"])
    def test_pictures_in_a_folder_of_their_own(self, tmp_path: Path, class_folders: Tree, place: str) -> None:
        class_folders(tmp_path / place, {"red": 1, "blue": 1})
        (tmp_path / "pets_train.lst").write_text(lines("0\t0\tred/0.jpg", "1\t1\tblue/0.jpg"))
        data = formats.read(tmp_path)
        assert data.problems == ()
        assert data.splits["train"][0].image.path == tmp_path / place / "red/0.jpg"

    @pytest.mark.parametrize("ending", ["validation", "val", "valid", "pets-val"])
    def test_splits_by_name(self, root: Path, ending: str) -> None:
        (root / "train.lst").write_text(lines("0\t0\tred/0.jpg", "1\t1\tblue/0.jpg"))
        (root / f"{ending}.lst").write_text(lines("0\t0\tred/1.jpg"))
        (root / "test.lst").write_text(lines("0\t1\tblue/1.jpg"))
        data = formats.read(root)
        assert {split: len(found) for split, found in data.splits.items()} == {"train": 2, "validation": 1, "test": 1}

    def test_one_list_of_another_name_is_train(self, root: Path) -> None:
        (root / "pets.lst").write_text(lines("0\t0\tred/0.jpg", "1\t1\tblue/0.jpg"))
        assert len(formats.read(root).splits["train"]) == 2

    def test_lists_of_unclear_name(self, root: Path) -> None:
        for name in ("train", "a_train", "other"):
            (root / f"{name}.lst").write_text(lines("0\t0\tred/0.jpg", "1\t1\tblue/0.jpg"))
        problems = [str(problem) for problem in formats.read(root).problems]
        assert "other.lst: is left out, its name says no split" in problems[0]
        assert "train.lst: is left out, a_train.lst is the train list already" in problems[1]

    def test_class_names_fall_back_to_ids(self, root: Path) -> None:
        (root / "train.lst").write_text(lines("0\t0\tred/0.jpg", "1\t1\tred/1.jpg"))
        assert formats.read(root).class_names == ("0", "1")

    def test_labels_as_im2rec_writes_them(self, root: Path) -> None:
        (root / "train.lst").write_text(lines("0\t0.000000\tred/0.jpg", "1\t1.000000\tblue/0.jpg"))
        data = formats.read(root)
        assert data.problems == ()
        assert data.counts("train") == [1, 1]

    def test_gaps_in_class_ids_are_noted(self, root: Path) -> None:
        (root / "train.lst").write_text(lines("0\t1\tred/0.jpg", "1\t3\tblue/0.jpg"))
        data = formats.read(root)
        assert [(p.severity, p.what) for p in data.problems] == [("note", "has no picture of class 0, 2")]
        assert data.class_names == ("0", "red", "2", "blue")

    def test_multi_label_is_found_out(self, root: Path) -> None:
        (root / "train.lst").write_text(lines("5\t1\t0\t1\tred/0.jpg", "6\t0\t0\t0\tblue/0.jpg"))
        data = formats.read(root)
        assert data.multi_label
        assert data.class_names == ("0", "1", "2")
        assert [s.classes for s in data.splits["train"]] == [(0, 2), ()]
        assert data.problems == ()

    def test_multi_label_round_trip(self, root: Path, tmp_path: Path) -> None:
        (root / "train.lst").write_text(lines("5\t1\t0\t1\tred/0.jpg", "6\t0\t0\t0\tblue/0.jpg"))
        data = formats.read(root)
        Lst().write(data, tmp_path / "out")
        back = formats.read(tmp_path / "out")
        assert [s.classes for s in back.splits["train"]] == [(0, 2), ()]
        assert back.class_names == data.class_names

    def test_multi_label_lists_of_different_width(self, root: Path) -> None:
        (root / "train.lst").write_text(lines("5\t1\t0\t1\tred/0.jpg"))
        (root / "test.lst").write_text(lines("5\t1\t0\tred/1.jpg"))
        assert "Mismatch between number of labels" in str(formats.read(root).problems[0])


class TestMistakes:
    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ("7\tred/1.jpg", "has 2 columns, at least 3 are needed; a line is index, class id, path"),
            ("7 1 red/1.jpg", "is separated by spaces, not tabs"),
            ("7\tcat\tred/1.jpg", "has the label `cat`, which is not a number"),
            ("7\t1_0\tred/1.jpg", "has the label `1_0`, which is not a number"),
            ("7\tnan\tred/1.jpg", "has the label `nan`, which is not a number"),
            ("7\t1.5\tred/1.jpg", "has the class id 1.5, which is not a whole number"),
            ("7\t" + "9" * 400 + "\tred/1.jpg", "has the class id inf, which is not a whole number"),
            ("7\t-1\tred/1.jpg", "has the class id -1, which is negative"),
            ("7\t4\tred/1.jpg", "class id 4, which is out of range; with num_classes 4 class ids run from 0 to 3"),
            ("x\t1\tred/1.jpg", "has the index `x`, which is not a whole number"),
            ("7\t1\tred/9.jpg", "names `red/9.jpg`, which is not in"),
            ("7\t1\tred\\1.jpg", "use / in paths"),
            ("7\t1\tred", "names `red`, which is a folder, no file"),
            ("7\t1\t../secret.jpg", "has the path `../secret.jpg`, which leaves the picture folder"),
            ("7\t1\tred/../../secret.jpg", "which leaves the picture folder"),
            ("7\t1\t/etc/passwd", "which leaves the picture folder"),
            ("7\t1\tC:\\a.jpg", "which leaves the picture folder"),
            ("7\t1\t", "has an empty path"),
            ("7\t1\t\0", "which is not in"),
            ("7\t1\t" + "a" * 5000, "which is not in"),
            ("7\t1\t0\tred/1.jpg", "has 2 label columns, not 1; set multi_label to 1"),
        ],
    )
    def test_single_label(self, root: Path, row: str, said: str) -> None:
        (root.parent / "secret.jpg").touch()
        (root / "train.lst").write_text(lines("1\t1\tred/0.jpg", row, "2\t0\tblue/0.jpg"))
        listing = read_lst(root / "train.lst", root, 4, False)
        [problem] = listing.problems
        assert problem.where == "train.lst:2"
        assert said in str(problem)
        assert len(str(problem)) < 300
        assert listing.paths == ("red/0.jpg", "blue/0.jpg")

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ("7\t1\t-1\tred/1.jpg", "has the multi-label value -1; use 0 or 1"),
            ("7\t1\t0\t1\tred/1.jpg", "has 3 label columns, the lines before have 2"),
            ("7\t1\tred/1.jpg", "has 1 label columns, the lines before have 2"),
        ],
    )
    def test_multi_label(self, root: Path, row: str, said: str) -> None:
        (root / "train.lst").write_text(lines("1\t1\t0\tred/0.jpg", row, "2\t0\t1\tblue/0.jpg"))
        listing = read_lst(root / "train.lst", root, multi_label=True)
        [problem] = listing.problems
        assert problem.where == "train.lst:2"
        assert said in str(problem)
        assert len(listing.samples) == 2

    def test_what_is_listed_again_is_used_again(self, root: Path) -> None:
        """So people make rare classes frequent, and put lists together; the original trains on every line."""
        rows = ("1\t1\tred/0.jpg", "1\t1\tred/1.jpg", "7\t1\tred/0.jpg", "2\t0\tblue/0.jpg")
        (root / "train.lst").write_text(lines(*rows))
        listing = read_lst(root / "train.lst", root, 2, False)
        assert listing.paths == ("red/0.jpg", "red/1.jpg", "red/0.jpg", "blue/0.jpg")
        assert [str(problem) for problem in listing.problems] == [
            "train.lst: names 2 indices or paths again: index 1 at train.lst:2, first at train.lst:1, `red/0.jpg` at "
            "train.lst:3, first at train.lst:1; each line is used"
        ]
        assert listing.errors == []

    @pytest.mark.parametrize("name", ["TRAIN.LST", "train.Lst"])
    def test_endings_in_any_case(self, root: Path, name: str) -> None:
        (root / name).write_text(lines("1\t1\tred/0.jpg", "2\t0\tblue/0.jpg"))
        assert len(formats.read(root)) == 2

    def test_other_multi_label_values_are_taken_as_there(self, root: Path) -> None:
        """AWS's own notebooks count things, and the original takes any number."""
        rows = ("1\t1\t0\tred/0.jpg", "7\t2\t0\tred/1.jpg", "8\t0\t0.5\tred/2.jpg", "2\t0\t1\tblue/0.jpg")
        (root / "train.lst").write_text(lines(*rows))
        listing = read_lst(root / "train.lst", root, multi_label=True)
        assert [sample.classes for sample in listing.samples] == [(0,), (0,), (1,), (1,)]
        assert [str(problem) for problem in listing.problems] == [
            "train.lst: has other multi-label values than 0 and 1 in 2 lines (2, 0.5); they are taken as 1, there"
        ]
        assert formats.read(root).task == "classification"

    def test_a_header_line(self, root: Path) -> None:
        (root / "train.lst").write_text(lines("index\tlabel\tpath", "1\t0\tred/0.jpg"))
        [problem] = read_lst(root / "train.lst", root).problems
        assert problem.hint == "remove the line of column names"

    def test_an_empty_list(self, root: Path) -> None:
        (root / "train.lst").write_text("\n\n")
        assert "lists no pictures" in read_lst(root / "train.lst", root).problems[0].what

    def test_bytes_that_are_no_text(self, root: Path) -> None:
        (root / "train.lst").write_bytes(b"1\t0\tred/0.jpg\n2\t1\t\xff\xfe.jpg\n")
        [problem] = read_lst(root / "train.lst", root).problems
        assert (problem.where, problem.what) == ("train.lst:2", "is no UTF-8 text (invalid start byte)")

    def test_a_list_that_is_not_there(self, root: Path) -> None:
        [problem] = read_lst(root / "no.lst", root).problems
        assert "cannot be read" in problem.what

    def test_a_huge_class_id_makes_no_huge_set(self, root: Path) -> None:
        (root / "train.lst").write_text(lines("1\t0\tred/0.jpg", "2\t1e300\tblue/0.jpg"))
        data = formats.read(root)
        assert "out of range; class ids run from 0 to 99999" in str(data.problems[0])
        assert data.class_names == ("0",)


class TestChannels:
    @pytest.fixture
    def channels(self, tmp_path: Path, class_folders: Tree) -> dict[str, Channel]:
        for name, seed in (("train", 0), ("validation", 90)):
            class_folders(tmp_path / name, {"red": 2, "blue": 2}, seed=seed)
            (tmp_path / f"{name}_lst").mkdir()
            (tmp_path / f"{name}_lst" / "any.lst").write_text(lines("0\t1\tred/0.jpg", "1\t0\tblue/1.jpg"))
        names = ("train", "validation", "train_lst", "validation_lst")
        return {name: Channel(name, tmp_path / name, "application/x-image") for name in names}

    def test_read(self, channels: dict[str, Channel], tmp_path: Path) -> None:
        data = Lst().read_channels(channels, task="classification", num_classes=2, multi_label=False)
        assert data.class_names == ("blue", "red")
        assert data.problems == ()
        assert data.splits["validation"][0].source == "validation_lst/any.lst:1"
        assert data.splits["validation"][0].image.path == tmp_path / "validation/red/0.jpg"

    def test_more_classes_than_pictures_show(self, channels: dict[str, Channel]) -> None:
        data = Lst().read_channels(channels, task="classification", num_classes=4, multi_label=False)
        assert data.class_names == ("blue", "red", "2", "3")

    def test_a_faulty_list_in_the_words_of_the_original(self, channels: dict[str, Channel], tmp_path: Path) -> None:
        (tmp_path / "validation_lst/any.lst").write_text(lines("0\t1\tred/9.jpg", "1\t7\tblue/1.jpg"))
        with pytest.raises(DataError) as caught:
            Lst().read_channels(channels, task="classification", num_classes=2, multi_label=False)
        assert str(caught.value).startswith(
            "Invalid lst file in the validation channel. validation_lst/any.lst:1: names `red/9.jpg`, which is not in "
        )
        assert str(caught.value).endswith("(1 more)")

    def test_mismatch_in_the_words_of_the_original(self, channels: dict[str, Channel], tmp_path: Path) -> None:
        (tmp_path / "train_lst/any.lst").write_text(lines("0\t1\t0\t0\t1\t0\tred/0.jpg"))
        with pytest.raises(DataError) as caught:
            Lst().read_channels(channels, task="classification", num_classes=4, multi_label=True)
        assert str(caught.value) == (
            "Mismatch between number of labels in the multi-label data (5) and the num_classes parameter (4). "
            "See train_lst/any.lst:1."
        )

    def test_lists_missing_or_too_many(self, channels: dict[str, Channel], tmp_path: Path) -> None:
        read = Lst().read_channels
        (tmp_path / "train_lst/second.lst").touch()
        with pytest.raises(CustomerError, match=r"The train_lst channel holds 2 \.lst files"):
            read(channels, task="classification", num_classes=2, multi_label=False)
        for path in (tmp_path / "train_lst").iterdir():
            path.unlink()
        with pytest.raises(CustomerError, match=r"The train_lst channel holds no \.lst files"):
            read(channels, task="classification", num_classes=2, multi_label=False)
        del channels["train_lst"]
        with pytest.raises(CustomerError, match=r"The train_lst channel is missing"):
            read(channels, task="classification", num_classes=2, multi_label=False)


field = st.sampled_from(
    ["0", "1", "2", "-1", "1.0", "x", "", " 1 ", "9" * 25, "1e5", "red/0.jpg", "../x", "\r", "\x85", "é"]
)


class TestFuzz:
    @settings(max_examples=80, deadline=None)
    @given(
        rows=st.lists(st.one_of(st.lists(field, max_size=5).map("\t".join), st.text(max_size=20)), max_size=10),
        junk=st.binary(max_size=30),
        num_classes=st.one_of(st.none(), st.integers(1, 5)),
        multi_label=st.sampled_from([None, True, False]),
    )
    def test_any_list_reads_and_problems_are_lines(
        self,
        rows: list[str],
        junk: bytes,
        num_classes: int | None,
        multi_label: bool | None,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        root = tmp_path_factory.mktemp("fuzz")
        (root / "red").mkdir()
        (root / "red/0.jpg").touch()
        (root / "train.lst").write_bytes("\n".join(rows).encode() + b"\n" + junk)
        listing = read_lst(root / "train.lst", root, num_classes, multi_label)
        assert len(listing.samples) == len(listing.paths) <= 1
        for sample in listing.samples:
            assert sample.image.path.resolve().is_relative_to(root.resolve())
            assert all(0 <= c < (num_classes or 10**6) for c in sample.classes)
        assert all(len(str(problem).splitlines()) == 1 for problem in listing.problems)
        assert len(Lst().read(root).problems) >= 1  # one picture can never make two classes

    @given(st.text(st.characters(codec="utf-8")))
    def test_any_line_parses_or_says_why(self, text: str) -> None:
        row = parse_row(text)
        assert isinstance(row, (Row, str))

    @given(
        st.integers(0, 10**15), st.lists(st.integers(0, 9), min_size=1), st.text(st.characters(categories=["L", "N"]))
    )
    def test_a_row_written_is_read(self, index: int, labels: list[int], path: str) -> None:
        columns = [str(index), *map(str, labels), path]
        assert parse_row("\t".join(columns)) == Row(index, tuple(map(float, labels)), path)


def test_fewer_names_than_classes_of_boxes(root: Path) -> None:
    rows = [f"{n}\t2\t5\t{class_id}\t0.1\t0.2\t0.5\t0.6\tred/{n}.jpg" for n, class_id in enumerate((0, 4, 1))]
    (root / "train.lst").write_text(lines(*rows))
    (root / "classes.txt").write_text("cat\ndog\n")
    [problem] = [p for p in formats.read(root, task="detection").problems if p.severity == "error"]
    said = "classes.txt: has 2 names, the records have class ids up to 4, first train.lst:2; add the names that are mis"
    assert str(problem).startswith(said)
