"""Image URIs: account and region do not matter, repository and tag do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.images import repository


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1", ("image-classification", "1")),
        ("727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/pytorch-training:1.6-gpu", ("pytorch-training", "1.6-gpu")),
        ("image-classification", ("image-classification", "latest")),
        ("localhost:5000/mine/net:2", ("net", "2")),
        ("localhost:5000/mine/net", ("net", "latest")),
        ("r/net@sha256:0123", ("net", "latest")),
        ("r/net:7@sha256:0123", ("net", "7")),
        ("", ("", "latest")),
    ],
)
def test_repository_and_tag(uri, expected):
    assert repository(uri) == expected


NAMES = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*", fullmatch=True)


@given(st.from_regex(r"[a-z0-9.:/-]*", fullmatch=True), NAMES, NAMES)
def test_whatever_stands_before_the_last_slash(registry, name, tag):
    assert repository(f"{registry}/{name}:{tag}") == (name, tag)
