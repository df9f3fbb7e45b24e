"""Which channels an algorithm refuses when a job is created, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from clary.errors import CustomerError
from clary.vision.algorithms.catalog import find
from clary.vision.base import channels
from clary.vision.base.channels import ChannelSpec
from clary.vision.base.jobdir import DATASET_CONTENT_TYPE, Channel

IMAGES, RECORDS = "application/x-image", "application/x-recordio"
BOTH = ("train", "validation")


def check(algorithm: str, *given: Channel) -> None:
    find(algorithm).check_channels({channel.name: channel for channel in given})


def channel(name: str, kind: str = "", mode: str = "File") -> Channel:
    return Channel(name, Path("nowhere"), kind, mode)


class TestTaken:
    """What ran goes on running."""

    @pytest.mark.parametrize("kind", ["", IMAGES, RECORDS, "image/jpeg", "image/png", "Application/X-Image; a=b"])
    @pytest.mark.parametrize("algorithm", ["classification", "detection", "segmentation"])
    def test_content_types_of_the_guide_or_none(self, algorithm: str, kind: str) -> None:
        check(algorithm, *(channel(name, kind) for name in BOTH))

    def test_types_may_stand_at_any_channel(self) -> None:
        lists = [channel(f"{name}_lst", "image/jpeg") for name in BOTH]
        check("classification", *(channel(name, IMAGES) for name in BOTH), *lists)
        annotations = [channel(f"{name}_annotation", "application/json") for name in BOTH]
        check("detection", *(channel(name, "image/jpeg") for name in BOTH), *annotations)

    @pytest.mark.parametrize("kind", ["", RECORDS, f"{RECORDS}; label-format=class-id"])
    def test_records_through_pipes(self, kind: str) -> None:
        check("segmentation", *(channel(name, kind, "Pipe") for name in BOTH))

    def test_fast_file_is_as_good_as_file(self) -> None:
        check("classification", *(channel(name, IMAGES, "FastFile") for name in BOTH))

    @pytest.mark.parametrize("name", ["test", "extra", "validation_lts"])
    def test_channels_that_nothing_reads(self, name: str) -> None:
        check("classification", *(channel(one, IMAGES) for one in BOTH), channel(name, IMAGES))

    @pytest.mark.parametrize("kind", ["image/jpg", "application/jpeg", "application/png", "image/pjpeg; q=1"])
    def test_content_types_by_other_names(self, kind: str) -> None:
        for algorithm in ("classification", "detection", "segmentation"):
            check(algorithm, *(channel(name, kind) for name in BOTH))

    @pytest.mark.parametrize("kind", ["", "application/x-sagemaker-model", "application/gzip"])
    def test_the_model_channel_is_not_data(self, kind: str) -> None:
        check("classification", *(channel(name, IMAGES) for name in BOTH), channel("model", kind))

    @pytest.mark.parametrize("own", [channel("dataset"), channel("pets", f"{DATASET_CONTENT_TYPE}; labels=species")])
    def test_our_own_holds_all(self, own: Channel) -> None:
        check("classification", own, channel("beside", "text/csv"))


class TestRefused:
    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (["train"], "The validation channel is missing; this algorithm needs the channels train and validation"),
            (["validation"], "The train channel is missing; this algorithm needs the channels train and validation"),
            (["training"], "The train and validation channels are missing; this algorithm needs the channels train"),
            (["model"], "The train and validation channels are missing"),
        ],
    )
    def test_missing_channels(self, given: list[str], said: str) -> None:
        with pytest.raises(CustomerError) as caught:
            check("classification", *(channel(name) for name in given))
        assert str(caught.value).startswith(said)

    def test_a_content_type_nobody_reads(self) -> None:
        with pytest.raises(CustomerError) as caught:
            check("detection", channel("train", IMAGES), channel("validation", "text/csv; header=no"))
        assert str(caught.value) == (
            "The validation channel has the content type `text/csv`, which is not read here; use one of "
            "application/json, application/x-image, application/x-recordio, image/jpeg, image/png, "
            "application/x-clary-dataset"
        )

    def test_images_through_a_pipe(self) -> None:
        with pytest.raises(CustomerError) as caught:
            check("classification", *(channel(name, IMAGES, "Pipe") for name in BOTH))
        assert str(caught.value) == "The train channel is in Pipe mode; application/x-image is read in File mode"


def test_a_format_of_another_distribution_may_read_other_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "entry_points", lambda group: [group])
    check("classification", *(channel(name, "text/csv") for name in BOTH))


def test_modes_of_a_channel() -> None:
    assert ChannelSpec("train", (IMAGES, RECORDS), streamed=(RECORDS,)).modes == ("File", "Pipe")
    assert ChannelSpec("train", (IMAGES,)).modes == ("File",)


class TestUnused:
    """Channels that nothing reads are named in the job's log."""

    def said(self, algorithm: str, *given: Channel) -> list[str]:
        return channels.unused(find(algorithm).channels, {channel.name: channel for channel in given})

    def test_a_misspelt_one_is_named_with_what_was_meant(self) -> None:
        both = [channel(name) for name in BOTH]
        known = "train, validation, train_lst, validation_lst, model"
        assert self.said("classification", *both, channel("modle"), channel("extra")) == [
            f"The channel 'modle' is not used: this algorithm knows {known}. Did you mean model?",
            f"The channel 'extra' is not used: this algorithm knows {known}.",
        ]
        [label_map] = self.said("segmentation", *both, channel("labelmap"))
        assert label_map.endswith("Did you mean label_map?")

    def test_nothing_is_said_of_those_that_are_known_or_beside_our_own(self) -> None:
        assert self.said("classification", *(channel(name) for name in (*BOTH, "model", "train_lst"))) == []
        assert self.said("detection", channel("dataset"), channel("beside")) == []
