"""Files for ``gf evidence``: quotes by keys of our own, as a TPM would make them or as a forger would."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hgs.attestation.tpm import (
    Algorithm,
    CertifyInfo,
    ClockInfo,
    PcrSelection,
    QuoteInfo,
    TpmsAttest,
    TpmtPublic,
    TpmtSignature,
    composite_digest,
)
from hgs.cli.evidence import evidence
from hgs.cli.evidence.files import FAULT
from tests.hgs.attestation.tpm_hosts import AK_ATTRIBUTES, ecc_public

Banks = Mapping[Algorithm, Mapping[int, bytes]]
NONCE = bytes.fromhex("00112233445566778899aabbccddeeff")
KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


def run(*arguments: object) -> Result:
    """Run ``gf evidence`` in process; whatever happens, it ends with one of its exit codes and in sentences."""
    result = CliRunner().invoke(evidence, [str(item) for item in arguments])
    assert result.exit_code in (0, 1, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert FAULT not in result.output, result.output
    return result


def answer(result: Result) -> dict[str, object]:
    """The JSON that was printed."""
    value: dict[str, object] = json.loads(result.stdout)
    return value


def attest_quote(
    selections: Sequence[PcrSelection], banks: Banks, nonce: bytes = NONCE, hash_: str = "sha256"
) -> bytes:
    """The TPMS_ATTEST of a quote."""
    info = QuoteInfo(tuple(selections), composite_digest(selections, banks, hash_))
    return TpmsAttest(b"\x00\x0b" + bytes(32), nonce, ClockInfo(1, 2, 3, True), 4, info).serialise()


def attest_certify(nonce: bytes = NONCE) -> bytes:
    """The TPMS_ATTEST of a certified key."""
    info = CertifyInfo(b"\x00\x0b" + bytes(32), b"\x00\x0b" + bytes(32))
    return TpmsAttest(b"\x00\x0b" + bytes(32), nonce, ClockInfo(1, 2, 3, True), 4, info).serialise()


def sign(attest: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    """TPMT_SIGNATURE, ECDSA over SHA-256."""
    r, s = utils.decode_dss_signature(key.sign(attest, ec.ECDSA(hashes.SHA256())))
    values = (r.to_bytes(32, "big"), s.to_bytes(32, "big"))
    return TpmtSignature(Algorithm.ECDSA, Algorithm.SHA256, values).serialise()


def sign_rsa(attest: bytes) -> bytes:
    """The bare RSASSA signature over SHA-256."""
    return RSA_KEY.sign(attest, padding.PKCS1v15(), hashes.SHA256())


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = KEY) -> bytes:
    """SubjectPublicKeyInfo in PEM form."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_area(key: ec.EllipticCurvePrivateKey = KEY) -> TpmtPublic:
    """The public area of a proper attestation key."""
    return ecc_public(key.public_key(), AK_ATTRIBUTES)


def pcrs_json(banks: Mapping[str, Mapping[int, bytes]]) -> bytes:
    """Register values as the samples have them."""
    return json.dumps(
        {bank: {str(pcr): value.hex() for pcr, value in values.items()} for bank, values in banks.items()}
    ).encode()


@dataclass
class QuoteCase:
    """One call of ``gf evidence verify``; files that are None are not given."""

    folder: Path
    attest: bytes
    signature: bytes
    ak: bytes = field(default_factory=pem)
    nonce: bytes | None = NONCE
    log: bytes | None = None
    pcrs: bytes | None = None

    def verify(self, *extra: str) -> Result:
        """Write the files and run the command."""
        given = {"quote": self.attest, "signature": self.signature, "ak": self.ak, "log": self.log, "pcrs": self.pcrs}
        arguments: list[object] = ["verify", *extra]
        for name, data in given.items():
            if data is not None:
                path = self.folder / name
                path.write_bytes(data)
                arguments += [f"--{name}", path]
        if self.nonce is not None:
            arguments += ["--nonce", self.nonce.hex()]
        return run(*arguments)

    def code(self) -> tuple[int, str]:
        """Exit code and stable code of the answer."""
        result = self.verify("--json")
        return result.exit_code, str(answer(result)["code"])
