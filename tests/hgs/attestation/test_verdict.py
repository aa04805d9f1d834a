"""Verdicts of every mode: what they hold, and that what was stored once can be read for ever."""

import json
from typing import Any

import pytest

from hgs.attestation import judgement as j
from hgs.attestation.errors import Malformed
from hgs.attestation.judgement import FailureKind, Judgement
from hgs.attestation.policies import BUILT_IN_POLICIES
from hgs.attestation.replies import error_reply
from hgs.attestation.verdict import (
    MODE_AD,
    MODE_HOST_KEY,
    AttestationStatus,
    AttestationSubStatus,
    Failure,
    Outcome,
    Verdict,
)
from hgs.wire import hgsa

TICKET_CHECKS = {"KerberosTicket": j.UNAUTHORIZED, "HostGroup": j.UNAUTHORIZED, j.IDENTITY_KEY: j.IDENTITY_FAILED}
IDENTITY = "ab" * 32


def test_a_mode_with_checks_of_its_own_lists_those_and_no_policies() -> None:
    result = Judgement(IDENTITY, checks=TICKET_CHECKS, mode=MODE_AD, protocol_version=1)
    result.host_name = "hv01"
    result.passed("KerberosTicket", "The ticket holds.")
    result.refuse("HostGroup", "The host is in no registered group.")
    verdict = result.ended()
    assert [(check.code, check.outcome) for check in verdict.checks] == [
        ("KerberosTicket", Outcome.PASSED),
        ("HostGroup", Outcome.FAILED),
        (j.IDENTITY_KEY, Outcome.SKIPPED),
    ]
    assert (verdict.status, verdict.mode, verdict.protocol_version) == (
        AttestationStatus.UNAUTHORIZED_HOST,
        "active-directory",
        1,
    )
    assert (verdict.ek_hash, verdict.host_name) == (IDENTITY, "hv01")
    assert isinstance(error_reply(verdict), hgsa.UnauthorizedErrorReply)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_a_mode_without_policies_passes_on_its_evidence() -> None:
    result = Judgement(IDENTITY, checks={"HostKey": j.UNAUTHORIZED}, mode=MODE_HOST_KEY)
    result.passed("HostKey", "The host key is registered.")
    verdict = result.decided()
    assert verdict.passed
    assert verdict.mode == "host-key"
    assert [check.code for check in verdict.checks] == ["HostKey"]


def test_tpm_mode_lists_every_policy_as_not_reached() -> None:
    result = Judgement(IDENTITY)
    result.refuse(j.EK_KNOWN, "Unknown.")
    verdict = result.ended()
    assert verdict.mode == "tpm"
    assert verdict.protocol_version == 2
    assert len(verdict.checks) == len(j.EVIDENCE_CHECKS) + len(BUILT_IN_POLICIES)


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        (j.TPM_FAILED, hgsa.RtpmErrorReply),
        (j.UNAUTHORIZED, hgsa.UnauthorizedErrorReply),
        (j.LOG_FAILED, hgsa.TcgLogValidationErrorReply),
        (j.IDENTITY_FAILED, hgsa.VirtualSecureModeErrorReply),
        (j.REPORT_FAILED, hgsa.VsmReportValidationErrorReply),
    ],
)
def test_every_kind_of_failure_has_its_reply(kind: FailureKind, reply: type[hgsa.ErrorReply]) -> None:
    result = Judgement(IDENTITY, checks={"Check": kind})
    result.refuse("Check", "It does not hold.")
    assert type(error_reply(result.ended())) is reply


def test_a_check_that_the_mode_does_not_have_is_a_bug() -> None:
    with pytest.raises(KeyError):
        Judgement(IDENTITY, checks=TICKET_CHECKS, mode=MODE_AD).refuse(j.NONCE, "No.")


def stored(**changes: Any) -> dict[str, Any]:
    verdict = Verdict(AttestationStatus.TPM_ERROR, (AttestationSubStatus.NO_INFORMATION,), (), Failure.RTPM)
    return verdict.to_json() | changes


def test_verdicts_that_were_stored_before_modes_had_names_are_of_tpm_mode() -> None:
    old = stored()
    del old["mode"], old["protocol_version"]
    verdict = Verdict.from_json(old)
    assert (verdict.mode, verdict.protocol_version) == ("tpm", 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "other"},
        {"mode": []},
        {"mode": None},
        {"protocol_version": 3},
        {"protocol_version": "1"},
        {"status": "Fine"},
        {"checks": [{}]},
        {"checks": None},
    ],
)
def test_a_stored_verdict_of_another_form_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Verdict.from_json(stored(**changes))
