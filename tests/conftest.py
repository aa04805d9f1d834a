"""Shared by every test."""

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is slow, not wrong: examples have no deadline of their own.
settings.register_profile("fabric", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fabric")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that boot machines run one after another in one worker, whatever else runs beside them."""
    for item in items:
        if item.get_closest_marker("vm") or item.get_closest_marker("fabric"):
            item.add_marker(pytest.mark.xdist_group("machines"))
        elif item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group("browser"))
