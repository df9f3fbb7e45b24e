"""The program `clary` itself: what it says of words that it does not know."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Cli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trian"], "no such command 'trian'; did you mean 'train'?"),
        (["data", "chek"], "no such command 'chek'; did you mean 'check'?"),
        (["xyzzy"], "no such command 'xyzzy'; `clary --help` says what there is"),
        (["--foo"], "no such option: --foo; `clary --help` says what there is"),
        (["up", "--prot", "3"], "no such option: --prot; did you mean --host, --port?"),
        (["serve"], "missing argument 'MODEL'; `clary serve --help` says what there is"),
        (["quickstart", "--epochs", "0"], "invalid value for '--epochs': "),
    ],
    ids=["verb", "below a verb", "nothing near", "option", "option of a verb", "argument", "value"],
)
def test_mistake_is_one_line_with_what_was_meant(words: list[str], line: str, cli: Cli) -> None:
    code, out, err = cli(*words)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"clary: {line}")


def test_without_words_there_is_the_help_and_where_to_begin(cli: Cli) -> None:
    code, out, err = cli()
    assert (code, err) == (2, "")
    assert "Begin with `clary quickstart`" in out
    assert "\n  train " in out
    code, out, err = cli("data")
    assert (code, err) == (2, "")
    assert "\n  check " in out


def test_help_and_version_are_no_mistakes(cli: Cli) -> None:
    for words in (["--help"], ["--version"], ["train", "--help"]):
        code, out, err = cli(*words)
        assert (code, err) == (0, "")
        assert out
