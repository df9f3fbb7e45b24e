"""What variables say to the server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clary.errors import CustomerError
from clary.toolkit.serving.settings import ServingSettings

NAMES = ("SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_MODEL_SERVER_TIMEOUT", "SAGEMAKER_MAX_PAYLOAD_IN_MB")


def test_defaults():
    assert ServingSettings.of({}) == ServingSettings(workers=1, timeout=60.0, most=6 << 20)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "3"}, ServingSettings(workers=3)),
        ({"SAGEMAKER_TS_MAX_WORKERS": "2"}, ServingSettings(workers=2)),
        ({"SAGEMAKER_MODEL_SERVER_WORKERS": "100000"}, ServingSettings(workers=64)),
        ({"SAGEMAKER_MODEL_SERVER_TIMEOUT": "3600"}, ServingSettings(timeout=3600.0)),
        ({"MMS_DEFAULT_RESPONSE_TIMEOUT": "900"}, ServingSettings(timeout=900.0)),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "20"}, ServingSettings(most=20 << 20)),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, ServingSettings(most=0)),
        ({"MMS_MAX_REQUEST_SIZE": "2000000000"}, ServingSettings(most=2_000_000_000)),
        ({"SAGEMAKER_TS_BATCH_SIZE": "8"}, ServingSettings(without_effect=("SAGEMAKER_TS_BATCH_SIZE",))),
        ({"SAGEMAKER_TS_BATCH_SIZE": "1", "SM_MODEL_DIR": "m", "PATH": "/bin"}, ServingSettings()),
    ],
)
def test_variables(variables, expected):
    assert ServingSettings.of(variables) == expected


@given(st.dictionaries(st.sampled_from(NAMES), st.text(max_size=6)))
def test_any_text_is_a_number_or_is_refused_by_name(variables):
    wrong = [
        name
        for name, text in variables.items()
        if text.strip() and not (text.strip().isascii() and text.strip().isdigit())
    ]
    if wrong:
        with pytest.raises(CustomerError, match="|".join(f"^{name}: is" for name in wrong)):
            ServingSettings.of(variables)
        return
    found = ServingSettings.of(variables)
    assert 1 <= found.workers <= 64
    assert found.timeout > 0
