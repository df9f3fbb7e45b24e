"""Variants from records, and calls shared out by weight."""

from __future__ import annotations

from collections import Counter
from itertools import islice, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.control.hosting.deployment import Plan
from clary.control.hosting.failure import StartFailed
from clary.control.hosting.variants import STARTUP_LIMIT, Variant, WeightedRoundRobin, resolve
from clary.control.store.records import Store

IMAGE = "1.dkr.ecr.eu-west-1.amazonaws.com/image-classification:1"
WEIGHTS = st.dictionaries(st.text("abc", min_size=1), st.integers(0, 9), min_size=1, max_size=5)


def taken(weights: dict[str, float], calls: int) -> Counter[str]:
    shares = WeightedRoundRobin(weights)
    return Counter(shares.next() for _ in repeat(None, calls))


class TestShares:
    @given(WEIGHTS, st.integers(1, 60))
    def test_never_more_than_a_call_away_from_the_share(self, weights, calls):
        total = sum(weights.values())
        counts = taken(weights, calls)
        for name, weight in weights.items():
            share = calls * (weight / total if total else 1 / len(weights))
            assert abs(counts[name] - share) <= len(weights) / 2 + 1e-6
            if total and not weight:
                assert counts[name] == 0

    @given(WEIGHTS)
    def test_exact_over_a_whole_round(self, weights):
        total = sum(weights.values())
        counts = taken(weights, total or len(weights))
        assert counts == Counter(
            {name: weight for name, weight in weights.items() if weight} if total else weights.keys()
        )

    def test_spread_not_in_runs(self):
        shares = WeightedRoundRobin({"a": 1, "b": 1, "c": 2})
        assert "".join(islice(iter(shares.next, None), 8)) == "cabccabc"

    def test_fractions(self):
        assert taken({"a": 0.1, "b": 0.9}, 10) == {"a": 1, "b": 9}


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/clary.db")
    yield store
    store.close()


def add(store: Store, **model: object) -> str:
    """A configuration "c" with one variant of a model "m" with this body."""
    store.create("model", "m", arn="m", body=model)
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InitialInstanceCount": 2, "InitialVariantWeight": 0.5}
    store.create("endpoint-config", "c", arn="c", body={"ProductionVariants": [variant]})
    return "c"


class TestResolve:
    def test_all_that_is_needed(self, store):
        config = add(
            store, PrimaryContainer={"Image": IMAGE, "ModelDataUrl": "s3://b/m.tar.gz", "Environment": {"A": "1"}}
        )
        expected = Variant("AllTraffic", 0.5, 2, IMAGE, "s3://b/m.tar.gz", True, {"A": "1"}, STARTUP_LIMIT)
        assert resolve(store, config) == [expected]

    @pytest.mark.parametrize("image", ["image-classification:latest", "r/image-classification", "classification:1"])
    def test_what_trains_is_served(self, store, image):
        config = add(store, PrimaryContainer={"Image": image, "ModelDataUrl": "s3://b/m.tar.gz"})
        assert resolve(store, config)[0].image == image

    def test_containers_of_one(self, store):
        config = add(store, Containers=[{"Image": IMAGE, "ModelDataUrl": "s3://b/m.tar.gz"}])
        assert resolve(store, config)[0].data == "s3://b/m.tar.gz"

    @pytest.mark.parametrize(("compression", "archive"), [("Gzip", True), ("None", False)])
    def test_a_model_data_source(self, store, compression, archive):
        source = {"S3Uri": "s3://b/m/", "S3DataType": "S3Prefix", "CompressionType": compression}
        config = add(store, PrimaryContainer={"Image": IMAGE, "ModelDataSource": {"S3DataSource": source}})
        assert (resolve(store, config)[0].data, resolve(store, config)[0].archive) == ("s3://b/m/", archive)

    def test_a_model_package(self, store):
        packaged = {"Image": IMAGE, "ModelDataUrl": "s3://b/p.tar.gz"}
        store.create("model-package", "g/1", arn="arn:p", body={"InferenceSpecification": {"Containers": [packaged]}})
        config = add(store, Containers=[{"ModelPackageName": "arn:p", "Environment": {"A": "1"}}])
        (variant,) = resolve(store, config)
        assert (variant.image, variant.data, variant.environment) == (IMAGE, "s3://b/p.tar.gz", {"A": "1"})

    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            ({"PrimaryContainer": {"Image": IMAGE}}, "names no model data; set ModelDataUrl"),
            (
                {"PrimaryContainer": {"Image": "r/other:1", "ModelDataUrl": "s3://b/m"}},
                'Nothing here serves the image "r/',
            ),
            ({"PrimaryContainer": {"Image": f"{IMAGE}0", "ModelDataUrl": "s3://b/m"}}, "Nothing here serves the image"),
            ({"Containers": [{}, {}]}, "is a pipeline of 2 containers"),
            ({"PrimaryContainer": {"Mode": "MultiModel"}}, "is a multi-model container"),
            ({"Containers": [{"ModelPackageName": "arn:none"}]}, 'Could not find model package "arn:none"'),
        ],
    )
    def test_what_cannot_be_served(self, store, model, reason):
        with pytest.raises(StartFailed, match=reason):
            resolve(store, add(store, **model))

    def test_files_of_this_machine_are_served_in_local_mode_alone(self, store):
        """A package's are seen here first."""
        packaged = {"Image": IMAGE, "ModelDataUrl": "file:///out/model.tar.gz"}
        store.create("model-package", "g/1", arn="arn:p", body={"InferenceSpecification": {"Containers": [packaged]}})
        config = add(store, Containers=[{"ModelPackageName": "arn:p"}])
        with pytest.raises(StartFailed, match=r"^file:///out/model.tar.gz is a file of this machine, which only"):
            resolve(store, config)
        store.edit(
            "endpoint-config",
            config,
            lambda found: (
                {"ProductionVariants": [found.body["ProductionVariants"][0] | {"InstanceType": "local"}]},
                "",
            ),
        )
        assert resolve(store, config)[0].data == "file:///out/model.tar.gz"

    def test_a_configuration_that_is_gone(self, store):
        with pytest.raises(StartFailed, match='Could not find endpoint configuration "c"'):
            resolve(store, "c")


TEXTS = st.text(max_size=8)
VARIANTS = st.builds(
    Variant,
    name=TEXTS,
    weight=st.floats(0, 100),
    count=st.integers(1, 9),
    image=TEXTS,
    data=TEXTS,
    archive=st.booleans(),
    environment=st.dictionaries(TEXTS, TEXTS),
    startup=st.floats(1, 3600),
    serverless=st.none() | st.dictionaries(TEXTS, st.integers()),
)


@given(st.lists(VARIANTS, max_size=3))
def test_a_plan_survives_its_record(variants):
    import json

    plan = Plan("c", tuple(variants))
    assert Plan.read(json.loads(json.dumps(plan.body()))) == plan
