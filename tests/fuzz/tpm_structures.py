"""TPM structures: TPMT_PUBLIC, TPM2B_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE, TPML_PCR_SELECTION."""

from contextlib import suppress

from hgs.attestation import tpm
from hgs.attestation.errors import AttestationError
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; what parses has one encoding, and its key and name can be taken or refused."""
    _public(data)
    with suppress(AttestationError):
        assert tpm.TpmsAttest.parse(data).serialise() == data
    with suppress(AttestationError):
        assert tpm.serialise_selections(tpm.parse_selections(data)) == data
    with suppress(AttestationError):
        _verify(data)
    with suppress(AttestationError):
        tpm.TpmtPublic.parse_sized(data)


def _public(data: bytes) -> None:
    with suppress(AttestationError):
        public = tpm.TpmtPublic.parse(data)
        assert public.serialise() == data
        assert tpm.name_of(public)
        key = tpm.to_cryptography_key(public)
        tpm.endorsement_public(key)


def _verify(data: bytes) -> None:
    signature = tpm.TpmtSignature.parse(data)
    assert signature.serialise() == data
    for public in _KEYS:
        with suppress(AttestationError):
            tpm.verify_signature(public, b"message", signature)
            raise AssertionError("A signature that nobody made verifies.")


_POINT = tpm.EccPoint(  # the base point of P-256: a key whose private half everybody knows, and nobody signed with here
    bytes.fromhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
    bytes.fromhex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"),
)
_KEYS = (
    tpm.TpmtPublic(
        tpm.Algorithm.SHA256, tpm.Attributes.SIGN, b"", tpm.EccParameters(None, None, tpm.Curve.P256), _POINT
    ),
    tpm.TpmtPublic(
        tpm.Algorithm.SHA256, tpm.Attributes.SIGN, b"", tpm.RsaParameters(None, None, 2048, 0), b"\xff" * 256
    ),
)

if __name__ == "__main__":
    run("tpm_structures")
