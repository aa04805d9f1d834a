"""Verdicts of the modes without a TPM say who, by what, and why not."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hgs.attestation.domain import (
    DOMAIN_CHECKS,
    GROUP,
    HOST_KEY_CHECKS,
    NamedGroup,
    host_name_of,
    identity_of,
    judge_domain_host,
    judge_host_key,
)
from hgs.attestation.host_key import read_host_key
from hgs.attestation.pac import DomainAccount, read_pac
from hgs.attestation.verdict import AttestationStatus, Failure, Outcome, Verdict
from hgs.wire.hgsa import AttestationResultType
from tests.hgs.attestation.pacs import DOMAIN, ENABLED, Account, pac

ENCRYPTION = AttestationResultType.VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE
SIGNING = AttestationResultType.VSM_IDENTITY_SIGNING_KEY_CERTIFICATE
GUARDED = NamedGroup("Guarded hosts", DOMAIN.with_rid(1104))
OTHER = NamedGroup("Others", DOMAIN.with_rid(1999))
HOST = rsa.generate_private_key(65537, 2048)


def spki(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


IDENTITY = rsa.generate_private_key(65537, 2048)
WANTED = ((ENCRYPTION, spki(IDENTITY)),)


def account(**changes: object) -> DomainAccount:
    return read_pac(pac(Account().but(**changes)))


def outcomes(verdict: Verdict) -> list[str]:
    return [check.outcome.value for check in verdict.checks]


def test_member_of_a_registered_group_passes_and_its_keys_are_given() -> None:
    wanted = (*WANTED, (SIGNING, spki(HOST)))
    found = judge_domain_host(account(), (OTHER, GUARDED), wanted, is_bound=True)
    assert found.verdict.passed
    assert found.group == GUARDED
    assert found.keys == {ENCRYPTION: IDENTITY.public_key(), SIGNING: HOST.public_key()}
    assert [check.code for check in found.verdict.checks] == list(DOMAIN_CHECKS)
    assert (found.verdict.host_name, found.verdict.mode) == ("hv01", "active-directory")
    assert found.verdict.ek_hash == identity_of(DOMAIN.with_rid(1103))
    assert found.verdict.warnings == ()
    assert Verdict.from_json(found.verdict.to_json()) == found.verdict


def test_host_in_no_registered_group_hears_which_groups_it_is_in() -> None:
    found = judge_domain_host(account(groups=((1300, ENABLED),)), (GUARDED,), WANTED, is_bound=True)
    assert (found.verdict.status, found.verdict.failure) == (AttestationStatus.UNAUTHORIZED_HOST, Failure.UNAUTHORIZED)
    assert found.verdict.summary == (
        "HV01$ is in no registered host group; its groups are Domain Computers (S-1-5-21-1001-1002-1003-515), "
        "S-1-5-21-1001-1002-1003-1300."
    )
    assert outcomes(found.verdict) == ["passed", "failed", "skipped"]
    assert (found.group, found.keys) == (None, {})


def test_a_long_list_of_groups_is_cut_short_in_the_sentence() -> None:
    many = tuple((2000 + index, ENABLED) for index in range(300))
    found = judge_domain_host(account(groups=many), (GUARDED,), WANTED, is_bound=True)
    assert "289 more" in found.verdict.summary
    assert len(found.verdict.summary) < 1000
    (group,) = [check for check in found.verdict.checks if check.code == GROUP]
    assert len(group.evidence["groups"].split(", ")) == 301


def test_without_any_registered_group_nobody_passes() -> None:
    found = judge_domain_host(account(), (), WANTED, is_bound=True)
    assert found.verdict.summary == "HV01$ is in no registered host group: HGS knows none."


@pytest.mark.parametrize("attributes", [0x3, ENABLED | 0x10])
def test_membership_that_is_switched_off_does_not_count(attributes: int) -> None:
    found = judge_domain_host(account(groups=((1104, attributes),)), (GUARDED,), WANTED, is_bound=True)
    assert not found.verdict.passed


def test_key_that_cannot_be_certified_fails_as_the_identity_key_and_the_host_stays_a_member() -> None:
    found = judge_domain_host(account(), (GUARDED,), ((ENCRYPTION, b"none"),), is_bound=True)
    assert found.verdict.failure is Failure.VIRTUAL_SECURE_MODE
    assert [item.value for item in found.verdict.sub_statuses] == ["VirtualSecureMode"]
    assert found.group == GUARDED
    assert found.keys == {}


def test_ticket_that_covers_no_request_is_a_warning() -> None:
    found = judge_domain_host(account(), (GUARDED,), WANTED, is_bound=False)
    assert found.verdict.passed
    assert len(found.verdict.warnings) == 1


def test_hosts_are_shown_by_their_names_whatever_their_domain_wrote() -> None:
    assert host_name_of(account(name="HV01$")) == "hv01"
    assert host_name_of(account(name="a\x07b\n" + "c" * 90 + "$")) == "a�b�" + "c" * 60


@pytest.mark.parametrize(
    ("name", "control", "shown"),
    [
        ("hv01", 0x10, "hv01 (user)"),
        ("hv01$", 0x10, "hv01$ (user)"),
        ("HV01", 0x80, "hv01 (computer)"),
        ("hv\u200b01$", 0x80, "hv�01"),
        ("h\u212a$", 0x80, "h\u212a"),
        ("x" * 90, 0x10, "x" * 57 + " (user)"),
        ("$", 0x80, "(unnamed)"),
        ("", 0x10, "(unnamed) (user)"),
    ],
)
def test_no_account_but_the_computers_own_is_shown_by_its_bare_name(name: str, control: int, shown: str) -> None:
    assert host_name_of(account(name=name, control=control)) == shown


def signed(host: rsa.RSAPrivateKey, identity: bytes) -> bytes:
    return host.sign(spki(host) + identity, padding.PKCS1v15(), hashes.SHA256())


def test_holder_of_a_registered_key_passes() -> None:
    key, identity = read_host_key(spki(HOST)), spki(IDENTITY)
    found = judge_host_key("hv01", key, spki(HOST), identity, signed(HOST, identity))
    assert found.verdict.passed
    assert found.is_signed
    assert found.key == IDENTITY.public_key()
    assert [check.code for check in found.verdict.checks] == list(HOST_KEY_CHECKS)
    assert (found.verdict.ek_hash, found.verdict.mode) == (key.fingerprint, "host-key")


def test_unregistered_key_is_unauthorised_however_it_signs() -> None:
    key, identity = read_host_key(spki(HOST)), spki(IDENTITY)
    found = judge_host_key("", key, spki(HOST), identity, signed(HOST, identity))
    assert found.verdict.failure is Failure.UNAUTHORIZED
    assert found.verdict.summary == f"The host key (sha256 {key.fingerprint[:12]}…) is not registered with this HGS."
    assert (found.is_signed, found.key) == (False, None)


def test_signature_over_another_identity_key_is_unauthorised() -> None:
    key, identity = read_host_key(spki(HOST)), spki(IDENTITY)
    found = judge_host_key("hv01", key, spki(HOST), identity, signed(HOST, spki(HOST)))
    assert found.verdict.failure is Failure.UNAUTHORIZED
    assert outcomes(found.verdict) == ["passed", "failed", "skipped"]
    assert not found.is_signed


def test_identity_key_that_cannot_be_certified_fails_after_the_signature() -> None:
    key = read_host_key(spki(HOST))
    found = judge_host_key("hv01", key, spki(HOST), b"none", signed(HOST, b"none"))
    assert found.verdict.failure is Failure.VIRTUAL_SECURE_MODE
    assert found.is_signed
    assert found.key is None
    assert found.verdict.checks[-1].outcome is Outcome.FAILED
