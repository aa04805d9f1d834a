"""Fixtures of the tenants' tests."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest

from tests.cast import Cast
from tests.tenants.fake_key_log import FakeKeyLog, serving
from tests.tenants.rolling import PlayedHost


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture
def key_log() -> Iterator[FakeKeyLog]:
    """An HGS that has written down what a test says."""
    with serving(FakeKeyLog()) as log:
        yield log


@pytest.fixture
def host() -> Iterator[PlayedHost]:
    """A host that works when told to; what it is told arrives at once."""
    played = PlayedHost()
    with patch("fabric.dispatch._send", side_effect=played.send):
        yield played
