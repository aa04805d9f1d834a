"""Fixtures of the tenants' tests."""

from collections.abc import Iterator

import pytest

from tests.cast import Cast
from tests.tenants.fake_key_log import FakeKeyLog, serving


@pytest.fixture
def cast(db: None) -> Cast:
    return Cast()


@pytest.fixture
def key_log() -> Iterator[FakeKeyLog]:
    """An HGS that has written down what a test says."""
    with serving(FakeKeyLog()) as log:
        yield log
