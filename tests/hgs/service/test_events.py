"""Events: the original's numbers, one JSON line each, once the attestation is committed."""

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from hgs import events
from hgs.attestation import judgement
from hgs.attestation.policies import BUILT_IN_POLICIES
from hgs.attestation.verdict import AttestationStatus, AttestationSubStatus, CheckResult, Failure, Outcome, Verdict
from hgs.models import OperationMode
from portal.settings import logs
from tests.hgs.service.conftest import Trusting
from tests.hgs.service.hosts import Host

NUMBERS = {
    "SecureBootEnabled": 1508,
    "SecureBootSettings": 20001,
    "DebugModeUefi": 1510,
    "SystemIntegrityCiKnownGood": 1513,
    "FullBoot": 20002,
    "VsmIdkPresent": 1534,
    "VsmRunning": 1534,
    "IommuEnabled": 1533,
    "BitLockerEnabled": 1536,
    "PagefileEncryptionEnabled": 1535,
    "HypervisorEnforcedCiPolicy": 1537,
    "NoHibernation": 1539,
    "NoDumps": 1540,
    "DumpEncryption": 1541,
    "DumpEncryptionKey": 1542,
}
LOG_CHECKED = CheckResult(judgement.REPLAY, Outcome.PASSED, "It replays.")
PASSED = Verdict(AttestationStatus.PASSED, (AttestationSubStatus.NO_INFORMATION,), (LOG_CHECKED,))


def failing(code: str, status: AttestationStatus = AttestationStatus.INSECURE_HOST_CONFIGURATION) -> Verdict:
    check = CheckResult(code, Outcome.FAILED, "It is so.", evidence={"policy": "x"})
    return Verdict(status, (AttestationSubStatus.NO_INFORMATION,), (LOG_CHECKED, check), Failure.POLICY)


def numbers(verdict: Verdict, mode: int = OperationMode.TPM, **more: Any) -> list[int]:
    return [kind.number for kind, _ in events.events_of(verdict, mode, **more)]


def test_every_built_in_policy_has_its_number() -> None:
    assert {policy.code for policy in BUILT_IN_POLICIES} == set(NUMBERS)
    for code, number in NUMBERS.items():
        assert numbers(failing(code)) == [1203, number]


def test_no_policy_at_all_is_another_event_than_an_unknown_policy() -> None:
    verdict = failing("SystemIntegrityCiKnownGood")
    bare = replace(verdict, checks=(LOG_CHECKED, replace(verdict.checks[1], evidence={})))
    assert numbers(bare) == [1203, 1538]


@pytest.mark.parametrize(
    ("mode", "passed", "unauthorized"),
    [
        (OperationMode.TPM, 1523, 1500),
        (OperationMode.ACTIVE_DIRECTORY, 1519, 1524),
        (OperationMode.HOST_KEY, 20010, 20011),
    ],
)
def test_each_mode_has_numbers_of_its_own(mode: OperationMode, passed: int, unauthorized: int) -> None:
    assert numbers(replace(PASSED, checks=()), mode) == [passed]
    refused = replace(failing("x", AttestationStatus.UNAUTHORIZED_HOST), checks=())
    assert numbers(refused, mode) == [unauthorized]


def test_failed_evidence_has_numbers_of_its_own() -> None:
    assert numbers(failing(judgement.READABLE)) == [1203, 20003]
    assert numbers(failing(judgement.IDENTITY_KEY)) == [1203, 1534]
    assert numbers(failing(judgement.QUOTE_SIGNATURE, AttestationStatus.TPM_ERROR)) == [1203, 20004]


def test_a_rehearsal_alarms_nobody() -> None:
    assert numbers(PASSED, rehearsal=True) == [20020]
    assert numbers(failing("NoDumps"), rehearsal=True) == [20020]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the logger hgs.events wrote, each line parsed as JSON."""
    structured = logs.LOGGING["formatters"]["structured"]  # type: ignore[index]
    formatter = structured["()"](**{key: value for key, value in structured.items() if key != "()"})
    found: list[dict[str, Any]] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(formatter.format(record)))

    handler, logger = Kept(), logging.getLogger("hgs.events")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(level)


def test_an_attestation_is_written_as_json_lines(
    client: Client, fabric: Trusting, hv01: Host, lines: list[dict[str, Any]], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        reply = hv01.attest(client)
    assert [line["event_id"] for line in lines] == [1203, 1523]
    assert (
        lines[1]
        | {
            "event": "host-passed-tpm",
            "host": "hv01",
            "mode": "TPM",
            "status": "Passed",
            "sub_statuses": ["NoInformation"],
            "attestation_id": reply.headers["Attestation-Id"],
            "level": "info",
            "logger": "hgs.events",
        }
        == lines[1]
    )
    assert len(lines[0]["identity"]) == 64


def test_what_is_not_committed_is_not_written(
    client: Client, fabric: Trusting, hv01: Host, lines: list[dict[str, Any]], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=False) as waiting:
        hv01.attest(client)
    assert lines == []
    assert len(waiting) == 1


def test_an_unknown_host_is_an_event(
    client: Client, fabric: Trusting, hv02: Host, lines: list[dict[str, Any]], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        hv02.begin(client)
    assert [(line["event_id"], line["level"], line["check"]) for line in lines] == [
        (1500, "warning", judgement.EK_KNOWN)
    ]
