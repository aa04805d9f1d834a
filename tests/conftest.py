"""Shared by every test."""

from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# A busy machine is slow, not wrong: examples have no deadline of their own.
settings.register_profile("fabric", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fabric")

_TOGETHER: Final = {
    "tests/main_job/": "machines",
    "tests/fabric/hyperv/secure_worker/": "machines",
    "tests/portal/web/test_browser.py": "browser",
    "tests/hgs/web/test_browser.py": "browser",
    "tests/fabric/signing/test_signing_browser.py": "browser",
    "tests/tenants/test_browser.py": "browser",
    "tests/tenants/test_rollover_browser.py": "browser",
    "tests/tenants/offline_page/": "browser",
    "tests/tenants/test_upload_browser.py": "browser",
    "tests/hgs/domain/": "domain",
}
"""Where tests share something that takes long to start, and the name of what they share."""


class _ByWhatTheyStart(LoadScopeScheduling):
    """One worker runs all tests that need the same machines, browser or domain; the others are dealt out singly."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for path, group in _TOGETHER.items() if nodeid.startswith(path)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Groups by path, because the controller knows of a test no more than its name."""
    return _ByWhatTheyStart(config, log)
