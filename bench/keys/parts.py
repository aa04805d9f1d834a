"""What the cryptography of one release costs alone, in process: the floor that no server can go below."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.attestation.timing import microseconds
from bench.keys.machines import Machine
from bench.keys.service import open_answer
from hgs.keyprotection.algorithms import TRANSPORT_KEY_LABEL
from hgs.keyprotection.guardian import create_guardian_keys
from hgs.keyprotection.protector import new_protector
from hgs.keyprotection.release import new_request, release_keys
from hgs.wire.kps import parse_request, serialise_request, serialise_response

_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
OWNER_BITS = 3072
"""Of an owner guardian, whose certificates stand in every protector."""


@dataclass(frozen=True)
class Parts:
    """Microseconds of one core. ``rsa``: every RSA operation of one release at HGS, the private ones apart first.

    ``release``: from the request's bytes to the answer's, without HTTP and storage; ``host``: opening an answer.
    """

    private_rsa: float
    rsa: float
    release: float
    host: float


def measure(machine: Machine, bits: int, seconds: float) -> Parts:
    """Time each part."""
    private, public = _rsa(bits, seconds)
    now = machine.request
    guardian = create_guardian_keys("parts", datetime.now(UTC), key_size=bits)
    owner = create_guardian_keys("parts owner", datetime.now(UTC), key_size=OWNER_BITS)
    protector, _ = new_protector(owner, [guardian.guardian], os.urandom)
    body = serialise_request(new_request(protector, now.health_certificate))
    key = machine.host.identity_key

    def release() -> bytes:
        return serialise_response(release_keys(parse_request(body), key.public_key(), [guardian], os.urandom))

    answer = serialise_response(release_keys(parse_request(body), key.public_key(), [guardian], os.urandom))
    asked = Machine(machine.host, parse_request(body), body, b"")
    return Parts(
        private,
        private + public,
        microseconds(release, seconds),
        microseconds(lambda: open_answer(asked, answer), seconds),
    )


def _rsa(bits: int, seconds: float) -> tuple[float, float]:
    """One decryption and one signature; then what needs public keys: one signature checked, three keys encrypted."""
    guardian, owner, identity = (rsa.generate_private_key(65537, size) for size in (bits, OWNER_BITS, 2048))

    def oaep(label: bytes | None) -> padding.OAEP:
        return padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), label)

    def timed(call: Callable[[], object]) -> float:
        return microseconds(call, seconds)

    secret = bytes(32)
    wrapped = guardian.public_key().encrypt(secret, oaep(TRANSPORT_KEY_LABEL))
    private = timed(lambda: guardian.decrypt(wrapped, oaep(TRANSPORT_KEY_LABEL)))
    private += timed(lambda: guardian.sign(secret, _PSS, hashes.SHA256()))
    # The signatures over certificates are the same at each start of a machine, and HGS remembers that they are right.
    public = timed(_checked(owner))
    for key, label in ((guardian, TRANSPORT_KEY_LABEL), (owner, TRANSPORT_KEY_LABEL), (identity, None)):
        public += timed(_encrypted(key, oaep(label)))
    return private, public


def _checked(key: rsa.RSAPrivateKey) -> Callable[[], object]:
    signature, public = key.sign(b"x", _PSS, hashes.SHA256()), key.public_key()
    return lambda: public.verify(signature, b"x", _PSS, hashes.SHA256())


def _encrypted(key: rsa.RSAPrivateKey, how: padding.OAEP) -> Callable[[], object]:
    public = key.public_key()
    return lambda: public.encrypt(bytes(32), how)
