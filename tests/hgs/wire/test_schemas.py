"""Every document we emit is valid by the published grammar, as our own schemas say it."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import resources

import pytest
from lxml import etree

from hgs.keyprotection.guardian import guardian_keys_from
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.ownership import grant, revoke
from hgs.keyprotection.protector import new_protector, roll, serialise_protector, verify_protector
from hgs.keyprotection.release import new_request, release_keys
from hgs.wire.kps import KpsError, serialise_error, serialise_request, serialise_response
from tests.hgs.keyprotection.guardians import (
    branch,
    communications,
    counted_random,
    identity_key,
    lab,
    owner,
    stranger,
)


@cache
def schema(name: str) -> etree.XMLSchema:
    with resources.as_file(resources.files("hgs.wire") / "schemas" / name) as path:
        return etree.XMLSchema(etree.parse(path))


def problems(name: str, document: bytes) -> list[str]:
    found = schema(name)
    found.validate(etree.fromstring(document))
    return [entry.message for entry in found.error_log]


@cache
def fresh() -> bytes:
    return serialise_protector(new_protector(owner(), [lab().guardian, branch().guardian], counted_random("new"))[0])


def granted() -> bytes:
    alone = verify_protector(new_protector(owner(), [], counted_random("alone"))[0])
    return serialise_protector(grant(alone, owner(), lab().guardian))


def revoked() -> bytes:
    everybody = verify_protector(new_protector(owner(), [lab().guardian, branch().guardian], counted_random("all"))[0])
    return serialise_protector(revoke(everybody, owner(), lab().guardian.fingerprint))


def rolled() -> bytes:
    protector = new_protector(owner(), [lab().guardian], counted_random("old"))[0]
    return serialise_protector(roll(verify_protector(protector), lab(), counted_random("roll"))[0])


def for_offline_use() -> bytes:
    protector = new_protector(owner(), [lab().guardian], counted_random("offline"))[0]
    return serialise_protector(replace(protector, max_offline_unwraps=2**32 - 1))


def metadata() -> bytes:
    return serialise_metadata(lab().guardian, communications())


def metadata_with_other_certificates() -> bytes:
    keys, guardian = lab(), lab().guardian
    others = [branch().guardian.signing_certificate, stranger().guardian.signing_certificate]
    extended = guardian_keys_from(
        "lab",
        guardian.signing_certificate,
        keys.signing_key,
        guardian.encryption_certificate,
        keys.encryption_key,
        others,
    )
    return serialise_metadata(extended.guardian, communications())


@pytest.mark.parametrize(
    "document", [fresh, granted, revoked, rolled, for_offline_use, metadata, metadata_with_other_certificates]
)
def test_protectors_and_metadata_are_valid(document: Callable[[], bytes]) -> None:
    assert problems("key-protection.xsd", document()) == []


@pytest.mark.parametrize("version", [1, 2])
def test_requests_responses_and_errors_are_valid(version: int) -> None:
    protector = new_protector(owner(), [lab().guardian], counted_random("request"))[0]
    request = new_request(protector, b"health certificate")
    response = release_keys(request, identity_key().public_key(), [lab()], counted_random("hgs"), version)
    error = KpsError("InvalidWrappingException", "Wrapping 1 & its <parent>.")
    for document in (serialise_request(request), serialise_response(response), serialise_error(error)):
        assert problems("key-protection-service.xsd", document) == []


def _without(document: bytes, start: bytes, end: bytes) -> bytes:
    return document[: document.index(start)] + document[document.index(end) + len(end) :]


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.replace(b"<Id>1</Id>", b"<Id>2</Id>"),
        lambda document: document.replace(b"<Id>1</Id>", b"<Id>-1</Id>"),
        lambda document: document.replace(b'ParentWrappingId="0"', b'ParentWrappingId="9"', 1),
        lambda document: document.replace(b' WrappingId="0"', b' WrappingId="9"'),
        lambda document: document.replace(b' WrappingId="0"', b""),
        lambda document: document.replace(b"Algorithm=", b"Method=", 1),
        lambda document: document.replace(b"</Protector>", b"<More/></Protector>"),
        lambda document: document.replace(b"kps/2014/07", b"kps/2015/07"),
        lambda document: _without(document, b"<TransportKeySignature>", b"</TransportKeySignature>"),
        lambda document: _without(document, b"<Wrapping>", b"</Wrappings>").replace(
            b"<Wrappings>", b"<Wrappings></Wrappings>"
        ),
    ],
)
def test_a_protector_against_the_grammar_is_not_valid(change: Callable[[bytes], bytes]) -> None:
    changed = change(fresh())
    assert changed != fresh()
    assert problems("key-protection.xsd", changed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"SigningCertificate>", b"SignerCertificate>"),
        (b' Version="1"', b""),
        (b"<SignatureValue>", b"<SignatureValue><More/>"),
        (b"xmldsig#", b"xmldsig2#"),
    ],
)
def test_metadata_against_the_grammar_is_not_valid(old: bytes, new: bytes) -> None:
    assert old in metadata()
    assert problems("key-protection.xsd", metadata().replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"IngressProtector>", b"EgressProtector>"),
        (b"TransportKeysEncryptionAlgorithm>", b"TransportKeyEncryptionAlgorithm>"),
        (b"</RollTransportKeyRequest>", b"<More/></RollTransportKeyRequest>"),
        (b"<HealthCertificate>Y2VydGlmaWNhdGU=", b"<HealthCertificate>"),
        (b"kps/2014/07/service", b"kps/2014/07"),
    ],
)
def test_a_request_against_the_grammar_is_not_valid(old: bytes, new: bytes) -> None:
    request = serialise_request(new_request(new_protector(owner(), [], counted_random("r"))[0], b"certificate"))
    assert old in request
    assert problems("key-protection-service.xsd", request.replace(old, new))
