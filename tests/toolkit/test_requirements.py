"""requirements.txt: what counts of it."""

from __future__ import annotations

import pytest

from clary.errors import CustomerError
from clary.toolkit.requirements import read_requirements


@pytest.fixture
def read(tmp_path):
    """``read(text, **files)``: what requirements.txt of ``text`` says, beside other files."""

    def read(text: str, **files: str):
        for name, content in {"requirements": text, **files}.items():
            (tmp_path / f"{name}.txt").write_text(content)
        return read_requirements(tmp_path / "requirements.txt")

    return read


def test_comments_and_blank_lines_do_not_count(read):
    found = read("# ours\n\ntimm==1.0 # newest\n a @ https://host/a.zip#egg=a\n")
    assert found.lines == ("timm==1.0", "a @ https://host/a.zip#egg=a")
    assert not read("\n# nothing\n")


def test_what_it_includes_counts(read):
    found = read("-r more.txt\n-c pins.txt\n", more="timm\n", pins="timm==1.0\n")
    assert found.lines == ("-r more.txt", "timm", "-c pins.txt", "timm==1.0")
    assert found.shared


@pytest.mark.parametrize(
    "line",
    [
        *("-e .", "./wheels/a.whl", "/x/a", "a.whl", "--find-links wheels", "a @ file:///x", "a @ ./b"),
        # pip takes what has a slash in it, and a file of an archive's name, for what lies in the working folder.
        *("libs/mine", "libs/mine[extra] ; python_version > '3'", "a.whl ; python_version > '3'", "a.tar.bz2", "a.tgz"),
        *("-elibs", "-flibs", "-r file:///x/more.txt", "a.whl --hash=sha256:0123", "git+file:///x/a", "-ilibs/index"),
        "--extra-index-url libs/index",
    ],
)
def test_what_comes_from_the_source_is_nobody_elses(read, line):
    assert not read(f"timm\n{line}\n").shared


@pytest.mark.parametrize(
    "line",
    [
        *(
            "timm",
            "timm>=1.0,<2 ; python_version > '3'",
            "timm[extra]==1.0 --hash=sha256:0123",
            "ruamel.yaml",
            "zope.zip2",
        ),
        *("a @ https://host/a.zip", "git+https://host/a/b@v1#egg=a", "https://host/a.whl", "a@git+ssh://git@host/a"),
        *(
            "--index-url https://host/simple",
            "-i https://host/simple",
            "--extra-index-url=https://host/simple",
            "--pre",
        ),
        *("-c https://host/pins.txt", "--trusted-host host", "--no-binary :all:", "--no-index", "timm==1.0 \\"),
    ],
)
def test_what_comes_from_elsewhere_is_the_same_for_all(read, line):
    assert read(f"timm\n{line}\n").shared


def test_mistakes(read, tmp_path):
    with pytest.raises(CustomerError, match=r"requirements\.txt: includes gone\.txt, which cannot be read"):
        read("-r gone.txt\n")
    with pytest.raises(CustomerError, match=r"more\.txt: includes requirements\.txt again"):
        read("-r more.txt\n", more="-r requirements.txt\n")
    (tmp_path / "requirements.txt").write_bytes("timm\n".encode("utf-16"))
    with pytest.raises(CustomerError, match=r"requirements\.txt: is not UTF-8; save it as UTF-8"):
        read_requirements(tmp_path / "requirements.txt")
