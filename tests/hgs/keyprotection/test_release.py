from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.keyprotection import algorithms, payload
from hgs.keyprotection.elements import Signature
from hgs.keyprotection.errors import (
    HealthCertificateError,
    InvalidProtectorError,
    InvalidRequestError,
    InvalidResponseError,
    InvalidWrappingError,
    NoWrappingError,
)
from hgs.keyprotection.protector import (
    Protector,
    TransportKey,
    new_protector,
    parse_protector,
    roll,
    serialise_protector,
    unwrap,
    verify_protector,
)
from hgs.keyprotection.release import _encrypt, new_request, open_response, parse_reply, release_keys
from hgs.keyprotection.secret import Secret
from hgs.wire.kps import (
    RollTransportKeyRequest,
    RollTransportKeyResponse,
    serialise_request,
    serialise_response,
)
from tests.hgs.keyprotection.guardians import (
    branch,
    counted_random,
    identity_decrypt,
    identity_key,
    lab,
    owner,
    stranger,
)

CERTIFICATE = b"health certificate"


@cache
def ingress() -> tuple[Protector, TransportKey]:
    return new_protector(owner(), [lab().guardian, branch().guardian], counted_random("ingress"))


@cache
def request() -> RollTransportKeyRequest:
    return new_request(ingress()[0], CERTIFICATE)


def release(version: int = 2) -> RollTransportKeyResponse:
    return release_keys(request(), identity_key().public_key(), [lab()], counted_random("hgs"), version)


@pytest.mark.parametrize("version", [1, 2])
def test_an_attested_host_gets_the_old_key_the_new_key_and_its_protector(version: int) -> None:
    released = open_response(release(version), request(), identity_decrypt, version)
    assert released.ingress == ingress()[1]
    assert released.egress != released.ingress
    egress = verify_protector(released.egress_protector)
    assert unwrap(egress, owner()) == unwrap(egress, branch()) == released.egress


@pytest.mark.parametrize(("version", "granted"), [(1, 0), (2, 3)])
def test_offline_use_is_granted_by_version_2_alone(version: int, granted: int) -> None:
    answer = release_keys(request(), identity_key().public_key(), [lab()], counted_random("hgs"), version, 3)
    released = open_response(answer, request(), identity_decrypt, version)
    assert released.offline_unwraps == granted
    assert released.egress_protector.max_offline_unwraps == granted


def test_offline_use_is_not_granted_unless_the_service_says_so() -> None:
    claimed = new_request(replace(ingress()[0], max_offline_unwraps=9), CERTIFICATE)
    answer = release_keys(claimed, identity_key().public_key(), [lab()], counted_random("hgs"))
    released = open_response(answer, claimed, identity_decrypt)
    assert (released.offline_unwraps, released.egress_protector.max_offline_unwraps) == (0, 0)


def test_what_an_egress_protector_says_about_offline_use_decides_nothing() -> None:
    egress, egress_key = rolled()
    answer = forged(replace(egress, max_offline_unwraps=7), ingress()[1], egress_key)
    assert open_response(answer, request(), identity_decrypt).offline_unwraps == 0


def test_the_released_protector_can_be_released_again() -> None:
    first = open_response(release(), request(), identity_decrypt)
    again = new_request(first.egress_protector, CERTIFICATE)
    answer = release_keys(again, identity_key().public_key(), [branch()], counted_random("again"))
    second = open_response(answer, again, identity_decrypt)
    assert second.ingress == first.egress
    assert second.egress not in (first.ingress, first.egress)


def test_any_enabled_key_of_the_service_opens_the_protector() -> None:
    answer = release_keys(request(), identity_key().public_key(), [stranger(), branch()], counted_random("hgs"))
    assert open_response(answer, request(), identity_decrypt).ingress == ingress()[1]


def test_a_service_that_is_no_guardian_releases_nothing() -> None:
    with pytest.raises(NoWrappingError):
        release_keys(request(), identity_key().public_key(), [stranger()], counted_random("hgs"))


def test_a_short_health_key_gets_nothing() -> None:
    short = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505
    with pytest.raises(HealthCertificateError):
        release_keys(request(), short, [lab()], counted_random("hgs"))


@pytest.mark.parametrize("field", ["transfer_key_algorithm", "wrapping_key_algorithm", "transport_keys_algorithm"])
def test_an_unknown_algorithm_in_the_request_is_refused_by_name(field: str) -> None:
    asked = replace(request(), **{field: "urn:example:cipher"})  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="urn:example:cipher"):
        release_keys(asked, identity_key().public_key(), [lab()], counted_random("hgs"))


def test_checks_come_in_the_order_of_the_specification() -> None:
    protector, _ = ingress()
    bad_wrapping = replace(protector.wrappings[1], encryption_certificate=b"x")
    broken = replace(protector, wrappings=(protector.wrappings[0], bad_wrapping, protector.wrappings[2]))
    everything_wrong = replace(request(), ingress_protector=serialise_protector(broken))
    short = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505
    with pytest.raises(HealthCertificateError):
        release_keys(everything_wrong, short, [stranger()], counted_random("hgs"))
    with pytest.raises(InvalidProtectorError) as caught:
        release_keys(everything_wrong, identity_key().public_key(), [stranger()], counted_random("hgs"))
    assert caught.value.code == "guardian-signature"
    signed = replace(broken, guardian_signature=algorithms.sign(owner().signing_key, _octets(broken)))
    with pytest.raises(InvalidWrappingError):
        release_keys(
            replace(request(), ingress_protector=serialise_protector(signed)),
            identity_key().public_key(),
            [stranger()],
            counted_random("hgs"),
        )


def _octets(protector: Protector) -> bytes:
    from hgs.keyprotection.protector_form import wrappings_octets

    return wrappings_octets(protector.wrappings)


def refusal(response: RollTransportKeyResponse, asked: RollTransportKeyRequest | None = None) -> str:
    with pytest.raises(InvalidResponseError) as caught:
        open_response(response, asked or request(), identity_decrypt)
    return caught.value.code


def forged(egress: Protector, ingress_key: TransportKey, egress_key: TransportKey) -> RollTransportKeyResponse:
    """What an attacker who can encrypt to the health certificate, and knows these keys, would send."""
    blob = payload.serialise_payload(ingress_key, egress_key, 2)
    key = identity_key().public_key()
    return _encrypt(request(), key, serialise_protector(egress), blob, counted_random("attacker"))


@cache
def rolled() -> tuple[Protector, TransportKey]:
    return roll(verify_protector(ingress()[0]), lab(), counted_random("rolled"))


def test_a_reply_for_another_host_does_not_open() -> None:
    other = rsa.generate_private_key(65537, 2048).public_key()
    assert refusal(release_keys(request(), other, [lab()], counted_random("hgs"))) == "transfer-key"


def test_a_reply_to_another_request_does_not_open() -> None:
    assert refusal(release(), replace(request(), health_certificate=b"another")) == "not-for-this-request"


def test_an_egress_protector_from_another_reply_does_not_open() -> None:
    other = release_keys(request(), identity_key().public_key(), [lab()], counted_random("other"))
    assert refusal(replace(release(), egress_protector=other.egress_protector)) == "not-for-this-request"


@pytest.mark.parametrize("field", ["encrypted_transfer_key", "encrypted_wrapping_key", "encrypted_transport_keys"])
@pytest.mark.parametrize("position", [0, 20, -1])
def test_a_flipped_bit_does_not_open(field: str, position: int) -> None:
    response = release()
    value = bytearray(getattr(response, field))
    value[position] ^= 1
    refusal(replace(response, **{field: bytes(value)}))  # type: ignore[arg-type]


def test_a_truncated_ciphertext_does_not_open() -> None:
    assert refusal(replace(release(), encrypted_wrapping_key=b"short")) == "not-for-this-request"


def test_a_reply_of_the_other_payload_version_is_refused() -> None:
    with pytest.raises(InvalidResponseError):
        open_response(release(1), request(), identity_decrypt, 2)


def test_a_made_up_ingress_key_is_refused() -> None:
    egress, egress_key = rolled()
    made_up = TransportKey(Secret(bytes(32)))
    assert refusal(forged(egress, made_up, egress_key)) == "transport-key-signature"


def test_a_made_up_egress_key_is_refused() -> None:
    egress, _ = rolled()
    assert refusal(forged(egress, ingress()[1], TransportKey(Secret(bytes(32))))) == "transport-key-signature"


def test_the_old_protector_is_not_accepted_as_the_new_one() -> None:
    first, _ = rolled()
    asked = new_request(first, CERTIFICATE)
    key = unwrap(verify_protector(first), lab())
    blob = payload.serialise_payload(key, key, 2)
    same = _encrypt(asked, identity_key().public_key(), serialise_protector(first), blob, counted_random("a"))
    assert refusal(same, asked) == "key-not-rolled"


def test_another_owner_is_refused() -> None:
    egress, egress_key = new_protector(stranger(), [lab().guardian], counted_random("attacker"))
    assert refusal(forged(egress, ingress()[1], egress_key)) == "owner-changed"


def test_a_guardian_slipped_in_is_refused() -> None:
    # Made by the owner's own key, as if an old protector of the same owner were sent back.
    egress, egress_key = new_protector(owner(), [lab().guardian, stranger().guardian], counted_random("attacker"))
    assert refusal(forged(egress, ingress()[1], egress_key)) == "guardian-added"


def test_an_egress_protector_that_no_guardian_signed_is_refused() -> None:
    egress, egress_key = new_protector(owner(), [lab().guardian], counted_random("attacker"))
    assert refusal(forged(egress, ingress()[1], egress_key)) == "not-by-a-guardian"


def test_an_egress_protector_with_a_bad_signature_is_refused() -> None:
    egress, egress_key = rolled()
    bad = replace(egress, guardian_signature=Signature(algorithms.RSA_PSS_SHA256, bytes(256)))
    assert refusal(forged(bad, ingress()[1], egress_key)) == "guardian-signature"


def test_an_egress_protector_that_is_none_is_refused() -> None:
    assert refusal(replace(release(), egress_protector=b"<html>")) in {"not-well-formed", "wrong-root"}


@pytest.mark.parametrize(
    "document", [b"", b"<html></html>", b"\xff", serialise_request(RollTransportKeyRequest(b"a", b"b", "c", "d", "e"))]
)
def test_a_reply_that_is_no_response_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidResponseError):
        parse_reply(document)
    assert parse_reply(serialise_response(release())).egress_protector


def test_nothing_that_is_released_prints() -> None:
    released = open_response(release(), request(), identity_decrypt)
    assert released.ingress.value.reveal().hex() not in repr(released)
    assert str(released.ingress.value.reveal()) not in repr(released)


def test_the_request_carries_the_protector_as_serialised_to_a_file() -> None:
    assert parse_protector(request().ingress_protector) == ingress()[0]
