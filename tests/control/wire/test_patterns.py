"""Java's regular expressions."""

from __future__ import annotations

import pytest

from clary.control.wire.patterns import compiled


@pytest.mark.parametrize(
    ("pattern", "right", "wrong"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["", "Größe 1/2", "日本語", "a-b@c"], ["a!", "a\n"]),
        (r"[\p{L}\p{M}\p{Z}\p{S}\p{N}\p{P}]*", ["a + b – 5 €!", "🐱"], ["\t", "a\0"]),
        (r"\p{ASCII}*", ["a\n\x7f"], ["é"]),
        (r"\A\S[\p{Print}]*\z", ["a b"], [" a", "aé", "a\n"]),
        (r"[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]*", ["a\té🐱"], ["\x01"]),
        (r"[\w-_]*", ["a-_1"], ["é", "a b", "."]),
        (r"arn:[\p{Alnum}\-]+:x", ["arn:aws-cn:x"], ["arn:a_b:x"]),
        (r"([\p{L}]*)${1,3}", ["ab"], ["1"]),
        (r"[a-z]$", ["a"], ["a\n", "A"]),
        (r"[[a]+", ["[a"], ["b"]),
    ],
)
def test_translation(pattern, right, wrong):
    expression = compiled(pattern)
    assert expression is not None
    assert [text for text in right if not expression.fullmatch(text)] == []
    assert [text for text in wrong if expression.fullmatch(text)] == []


def test_what_python_cannot_read_is_no_pattern():
    assert compiled(r"(") is None
    assert compiled(r"\p{Nothing}") is None
