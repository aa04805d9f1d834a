"""Headers of the tus protocol: whatever comes is read or refused as a header, never anything else."""

import base64
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.api import tus
from portal.kernel.errors import Invalid


def read_or_refused(read: Callable[..., Any], *arguments: str) -> Any:
    """What was read, None where it was refused as a header; any other error is the test's."""
    with contextlib.suppress(Invalid):
        return read(*arguments)
    return None


@given(st.text(max_size=60))
def test_any_metadata_is_read_or_refused(text: str) -> None:
    found = read_or_refused(tus.read_metadata, text)
    if found is not None:
        assert all(key.isascii() and "," not in key and " " not in key for key in found.values)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=20), max_size=4))
def test_metadata_comes_back_as_it_was_sent(values: dict[str, str]) -> None:
    header = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    assert tus.read_metadata(header).values == values


@given(st.text(max_size=20))
def test_any_number_is_read_or_refused(text: str) -> None:
    found = read_or_refused(tus.read_number, text, "Upload-Offset")
    assert found is None or str(found) == text


@given(st.text(max_size=60))
def test_any_checksum_is_read_or_refused(text: str) -> None:
    found = read_or_refused(tus.read_checksum, f"sha256 {text}")
    assert found is None or base64.b64encode(found).decode() == text


@pytest.mark.parametrize("text", ["kind", "kind dGVzdA==", "kind dGVzdA==,is_confidential", " kind dGVzdA== "])
def test_a_key_may_come_with_or_without_a_value(text: str) -> None:
    assert tus.read_metadata(text).values["kind"] in ("", "test")


@pytest.mark.parametrize(
    "text",
    [
        "kind dGVzdA",
        "kind ====",
        "kind a,kind b",
        ",",
        "kind /w==",
        "kind dGVzdB==",
        "kïnd dGVzdA==",
        "k " + "A" * 1024,
    ],
)
def test_metadata_that_is_not_sound_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        tus.read_metadata(text)
    assert refused.value.code == "tus-header"
