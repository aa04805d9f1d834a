"""Code-integrity policy files: bare, signed, and neither."""

import hashlib
from contextlib import suppress

import pytest
from asn1crypto import cms, core
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.ci_policy import CiPolicyHeader, build_ci_policy, parse_ci_policy
from hgs.attestation.errors import AttestationError, Malformed, TooLarge, Unsupported

POLICY = build_ci_policy("Hosts", (10, 1, 2, 3))


def der(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    body = b"".join(parts)
    return (
        bytes([tag, 0x82]) + len(body).to_bytes(2, "big") + body if len(body) > 127 else bytes([tag, len(body)]) + body
    )


def wrapped(content: bytes) -> bytes:
    """CMS SignedData without signers around ``content``, as the signing tools nest it."""
    policy_type = core.ObjectIdentifier("1.3.6.1.4.1.311.79.1").dump()
    signed_data = core.ObjectIdentifier("1.2.840.113549.1.7.2").dump()
    inner = der(0x30, policy_type, der(0xA0, der(0x04, content)))
    return der(0x30, signed_data, der(0xA0, der(0x30, der(0x02, b"\x01"), der(0x31), inner, der(0x31))))


def test_a_bare_policy_is_read() -> None:
    policy = parse_ci_policy(POLICY)
    assert policy.header.version_text == "10.1.2.3"
    assert not policy.header.audit
    assert not policy.signed
    assert policy.digest == hashlib.sha256(POLICY).hexdigest()
    assert policy.warnings == ()
    assert CiPolicyHeader.parse(policy.header.serialise()) == policy.header


@pytest.mark.parametrize("data", [wrapped(POLICY), wrapped(core.OctetString(POLICY).dump())])
def test_a_signed_policy_has_the_digest_of_its_content(data: bytes) -> None:
    policy = parse_ci_policy(data)
    assert policy.signed
    assert policy.content == POLICY
    assert policy.digest == parse_ci_policy(POLICY).digest


def test_an_audit_policy_is_warned_of() -> None:
    policy = parse_ci_policy(build_ci_policy("Hosts", audit=True))
    assert policy.header.audit
    assert "audit mode" in policy.warnings[0]


def test_every_argument_changes_the_digest() -> None:
    built = [
        build_ci_policy("A"),
        build_ci_policy("B"),
        build_ci_policy("A", (10, 0, 0, 1)),
        build_ci_policy("A", audit=True),
        build_ci_policy("A", policy_id="1"),
    ]
    assert len({parse_ci_policy(data).digest for data in built}) == len(built)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Malformed),
        (POLICY[:60], Malformed),
        (b"\x00" * 100, Malformed),
        (b"\x0c" + POLICY[1:], Unsupported),
        (POLICY[:0x28] + b"\xff\xff\xff\x7f" + POLICY[0x2C:], Malformed),
        (wrapped(b"nothing"), Malformed),
        (b"0\x82\x01", Malformed),
        (cms.ContentInfo({"content_type": "data", "content": core.OctetString(POLICY)}).dump(), Malformed),
        (bytes(5 * 1024 * 1024), TooLarge),
    ],
)
def test_what_is_no_policy_is_refused(data: bytes, error: type[AttestationError]) -> None:
    with pytest.raises(error):
        parse_ci_policy(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_policy_or_a_clear_error(data: bytes) -> None:
    for candidate in (data, b"0" + data, POLICY[:0x44] + data, wrapped(data)):
        with suppress(AttestationError):
            parse_ci_policy(candidate)
