"""Challenges and proofs of an owner's key: one way to write each, and every forgery refused."""

import base64
import dataclasses
import datetime as dt
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.keyprotection import algorithms
from tenants.owner_proof import (
    DOMAIN,
    Challenge,
    OwnerProofError,
    parse_challenge,
    prove,
    verify_proof,
    write_challenge,
)
from tests.hgs.keyprotection.guardians import keys_of, owner, stranger

UNTIL = dt.datetime(2026, 11, 27, 12, 10, tzinfo=dt.UTC)
CHALLENGE = Challenge("https://portal.example", "anna", owner().guardian.fingerprint, UNTIL, "Ab_-" * 16)


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(*parts: bytes) -> str:
    return ".".join(("gf-owner-proof.1", *(encode(part) for part in parts)))


def test_a_proof_says_who_may_read_where_and_until_when() -> None:
    verified = verify_proof(prove(write_challenge(CHALLENGE), owner()))
    assert verified.challenge == CHALLENGE
    assert verified.certificate == owner().guardian.signing_certificate


def test_an_owner_signs_no_challenge_for_another_owner() -> None:
    with pytest.raises(OwnerProofError) as caught:
        prove(write_challenge(CHALLENGE), stranger())
    assert caught.value.code == "another-owner"


def test_a_strangers_signature_under_the_owners_certificate_is_refused() -> None:
    text = write_challenge(CHALLENGE)
    signature = algorithms.sign(stranger().signing_key, DOMAIN + text.encode())
    with pytest.raises(OwnerProofError) as caught:
        verify_proof(forged(text.encode(), owner().guardian.signing_certificate, signature.value))
    assert caught.value.code == "proof-signature"


def test_a_stranger_with_a_certificate_of_its_own_is_refused() -> None:
    text = write_challenge(CHALLENGE)
    signature = algorithms.sign(stranger().signing_key, DOMAIN + text.encode())
    with pytest.raises(OwnerProofError) as caught:
        verify_proof(forged(text.encode(), stranger().guardian.signing_certificate, signature.value))
    assert caught.value.code == "another-owner"


def test_what_an_owner_signs_elsewhere_is_no_proof() -> None:
    text = write_challenge(CHALLENGE)
    signature = algorithms.sign(owner().signing_key, text.encode())
    with pytest.raises(OwnerProofError) as caught:
        verify_proof(forged(text.encode(), owner().guardian.signing_certificate, signature.value))
    assert caught.value.code == "proof-signature"


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "https://portal.example.evil"},
        {"account": "mallory"},
        {"expires_at": UNTIL + dt.timedelta(days=1)},
        {"token": "Ab_-" * 15 + "Ab__"},
    ],
)
def test_a_proof_is_for_one_challenge_alone(change: dict[str, object]) -> None:
    proof = prove(write_challenge(CHALLENGE), owner())
    other = write_challenge(dataclasses.replace(CHALLENGE, **change))  # type: ignore[arg-type]
    parts = proof.split(".")
    parts[2] = encode(other.encode())
    with pytest.raises(OwnerProofError) as caught:
        verify_proof(".".join(parts))
    assert caught.value.code == "proof-signature"


def test_an_encryption_certificate_proves_nothing() -> None:
    keys = keys_of("owner")
    certificate = keys.guardian.encryption_certificate
    from hgs.keyprotection.certificates import fingerprint

    text = write_challenge(dataclasses.replace(CHALLENGE, owner=fingerprint(certificate)))
    signature = algorithms.sign(keys.encryption_key, DOMAIN + text.encode())
    with pytest.raises(OwnerProofError) as caught:
        verify_proof(forged(text.encode(), certificate, signature.value))
    assert caught.value.code == "proof-certificate"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gf-owner-challenge.2." + ".".join(write_challenge(CHALLENGE).split(".")[2:]),
        write_challenge(CHALLENGE) + "A",
        write_challenge(CHALLENGE) + "\n",
        " " + write_challenge(CHALLENGE),
        write_challenge(CHALLENGE).replace(CHALLENGE.owner, CHALLENGE.owner.upper()),
        write_challenge(CHALLENGE).replace(f".{int(UNTIL.timestamp())}.", f".0{int(UNTIL.timestamp())}."),
        write_challenge(CHALLENGE).replace(f".{int(UNTIL.timestamp())}.", ".999999999999."),
        write_challenge(CHALLENGE).replace(encode(b"anna"), encode(b"\xff")),
        write_challenge(CHALLENGE).replace(encode(b"anna"), encode(b"anna\x1b[2J")),
        write_challenge(CHALLENGE).replace(encode(b"anna"), encode(b"a" * 151)),
        write_challenge(CHALLENGE).replace(encode(b"anna"), encode(b"anna") + "=="),
        write_challenge(CHALLENGE).replace(encode(b"anna"), "YW5uYR"),
        "gf-owner-challenge.1." + "A" * 3000,
    ],
)
def test_what_is_no_challenge_is_refused(text: str) -> None:
    with pytest.raises(OwnerProofError) as caught:
        parse_challenge(text)
    assert caught.value.code == "challenge-form"


@pytest.mark.parametrize("text", ["", "gf-owner-proof.1.a.b.c.d", "gf-owner-proof.1...", "x" * 20_000])
def test_what_is_no_proof_is_refused(text: str) -> None:
    with pytest.raises(OwnerProofError) as caught:
        verify_proof(text)
    assert caught.value.code == "proof-form"


@pytest.mark.parametrize("place", [2, 3, 4])
def test_a_truncated_proof_is_refused(place: int) -> None:
    parts = prove(write_challenge(CHALLENGE), owner()).split(".")
    parts[place] = parts[place][:-8]
    with pytest.raises(OwnerProofError):
        verify_proof(".".join(parts))


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=100)


@given(PRINTABLE, PRINTABLE, st.integers(1, 2**33), st.text(string.ascii_letters + "-_", min_size=64, max_size=64))
def test_a_challenge_survives_its_text(origin: str, account: str, expires: int, token: str) -> None:
    until = dt.datetime.fromtimestamp(expires, dt.UTC)
    challenge = Challenge(origin, account, "ab" * 32, until, token)
    assert parse_challenge(write_challenge(challenge)) == challenge


@given(st.text(string.ascii_letters + string.digits + "._-=", max_size=400))
def test_whatever_parses_is_written_the_same_again(tail: str) -> None:
    try:
        challenge = parse_challenge(f"gf-owner-challenge.1.{tail}")
    except OwnerProofError:
        return
    assert write_challenge(challenge) == f"gf-owner-challenge.1.{tail}"


@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=300))
def test_garbage_is_refused_and_never_a_fault(challenge: bytes, certificate: bytes, signature: bytes) -> None:
    for text in (forged(challenge, certificate, signature), challenge.decode("latin-1")):
        with pytest.raises(OwnerProofError):
            verify_proof(text)
    text = write_challenge(CHALLENGE)
    with pytest.raises(OwnerProofError):
        verify_proof(forged(text.encode(), owner().guardian.signing_certificate, signature))
