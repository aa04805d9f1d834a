"""The agent's log speaks of attestations by the original's client event ids."""

import pytest

from fabric.hyperv.client_events import events_of


@pytest.mark.parametrize(
    ("status", "reasons", "mode", "numbers"),
    [
        ("Passed", (), "tpm", [1003]),
        ("UnauthorizedHost", (), "tpm", [1007]),
        ("UnauthorizedHost", (), "ad", [1010]),
        ("UnauthorizedHost", (), "host-key", [20101]),
        ("InsecureHostConfiguration", ("SecureBoot",), "tpm", [1008]),
        ("InsecureHostConfiguration", ("SecureBoot", "SecureBootSettings"), "tpm", [1008]),
        ("InsecureHostConfiguration", ("SecureBootSettings", "CodeIntegrityPolicy"), "tpm", [1008, 1009]),
        ("InsecureHostConfiguration", ("Iommu",), "tpm", [20102]),
        ("InsecureHostConfiguration", (), "tpm", [20102]),
        ("TransientError", (), "tpm", [20103]),
        ("TpmError", (), "tpm", [20104]),
        ("NotConfigured", (), "", []),
    ],
)
def test_each_outcome_has_its_numbers(status: str, reasons: tuple[str, ...], mode: str, numbers: list[int]) -> None:
    assert [event.number for event in events_of(status, reasons, mode)] == numbers
