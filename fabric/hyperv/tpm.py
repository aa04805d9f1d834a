"""What an emulated host asks of its TPM 2.0, through tpm2-pytss: keys, quotes, activation, decryption.

Keys and where they hang:

- endorsement key: RSA-2048, default template of the TCG EK Credential Profile, endorsement hierarchy;
- attestation key: ECC P-256, ECDSA-SHA256, restricted, below the storage root key; made once per host;
- identity key: RSA-2048 decryption (OAEP-SHA256), below a primary of the NULL hierarchy and bound to the PCRs that say
  what booted. It is made anew on every boot: after a reset of the TPM its blobs load no more, and in a host that booted
  something else it would decrypt nothing. So a health certificate never outlives the boot that earned it.

A TPM has one user at a time: every session holds the lock file named in `HostTpmAccess`.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

# The TSS library otherwise writes every refused command to standard error.
os.environ.setdefault("TSS2_LOG", "all+none")

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_HC,
    TPM2_SE,
    TPM2_SU,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    TPMT_HA,
    TPMT_RSA_DECRYPT,
    TPMT_SIG_SCHEME,
    TPMT_SYM_DEF,
    TCTILdr,
    TSS2_Exception,
)
from tpm2_pytss.utils import NVReadEK, create_ek_template

from fabric.hyperv.errors import TpmError
from fabric.hyperv.locks import exclusive

LOCK_SECONDS = 30.0
# PCRs whose values the identity key is bound to: firmware, Secure Boot, boot manager, and PCR 13 and 14, which repeat
# the settings of PCR 12 with more detail. PCR 12 itself holds the key's own public half, so it cannot be among them.
IDENTITY_PCRS = (0, 1, 2, 3, 4, 5, 6, 7, 11, 13, 14)
_EK_HANDLE = 0x81010001  # TCG TPM v2.0 Provisioning Guidance, 7.8: RSA-2048 endorsement key
_PARENT_ATTRIBUTES = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA
    | TPMA_OBJECT.RESTRICTED
    | TPMA_OBJECT.DECRYPT
)
_KEY_ATTRIBUTES = TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.SENSITIVEDATAORIGIN | TPMA_OBJECT.NODA


@dataclass(frozen=True, slots=True)
class HostTpmAccess:
    """How another process of this host reaches its TPM and the identity key; public data, all paths absolute."""

    tcti: str
    lock: Path
    identity_key: Path

    def to_json(self) -> dict[str, str]:
        return {"tcti": self.tcti, "lock": str(self.lock), "identity_key": str(self.identity_key)}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> "HostTpmAccess":
        """The reverse of `to_json`; raises `ValueError` for anything else."""
        if set(value) != {"tcti", "lock", "identity_key"} or not all(isinstance(item, str) for item in value.values()):
            raise ValueError("TPM access must name exactly tcti, lock and identity_key, each a text")
        return cls(str(value["tcti"]), Path(str(value["lock"])), Path(str(value["identity_key"])))


@dataclass(frozen=True, slots=True)
class KeyBlob:
    """A key that only the TPM that made it can load: marshalled TPM2B_PUBLIC followed by TPM2B_PRIVATE."""

    public: bytes
    private: bytes

    @property
    def public_area(self) -> bytes:
        """The marshalled TPMT_PUBLIC."""
        return self.public[2:]

    def serialise(self) -> bytes:
        return self.public + self.private

    @classmethod
    def parse(cls, data: bytes) -> "KeyBlob":
        """The reverse of `serialise`; raises `TpmError` unless it is two sized structures and nothing more."""
        split = 2 + int.from_bytes(data[:2], "big")
        if len(data) < split + 2 or len(data) != split + 2 + int.from_bytes(data[split : split + 2], "big"):
            raise TpmError("A stored TPM key is damaged.", "Remove it from the host's state folder and start the host.")
        return cls(data[:split], data[split:])


P = ParamSpec("P")
R = TypeVar("R")


def _tpm_errors(method: "Callable[Concatenate[TpmSession, P], R]") -> "Callable[Concatenate[TpmSession, P], R]":
    @wraps(method)
    def wrapper(session: "TpmSession", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(session, *args, **kwargs)
        except TSS2_Exception as error:
            raise TpmError(f"The TPM refused {method.__name__.strip('_')}: {error}.") from error

    return wrapper


class TpmSession:
    """An open conversation with the TPM; made by `open_tpm`, which holds the lock as long as it lasts."""

    def __init__(self, esapi: ESAPI):
        self._esapi = esapi

    @property
    def esapi(self) -> ESAPI:
        """The TSS library's own interface, for what stands in another module."""
        return self._esapi

    # Endorsement

    @_tpm_errors
    def ek_certificate(self) -> bytes:
        """The RSA endorsement key's certificate (DER) from NV index 0x01C00002."""
        certificate = self.find_ek_certificate()
        if certificate is None:
            raise TpmError("The TPM holds no endorsement key certificate.", "Use a TPM that its vendor certified.")
        return certificate

    @_tpm_errors
    def find_ek_certificate(self) -> bytes | None:
        """As `ek_certificate`; None where the TPM's vendor left none."""
        certificate, _template = create_ek_template("EK-RSA2048", NVReadEK(self._esapi))
        return bytes(certificate) if certificate else None

    @_tpm_errors
    def ek_public(self) -> bytes:
        """The endorsement key's TPMT_PUBLIC."""
        with self._endorsement_key() as handle:
            return self._public_area(handle)

    @_tpm_errors
    def activate(self, attestation_key: KeyBlob, credential: bytes, encrypted_secret: bytes) -> bytes:
        """TPM2_ActivateCredential: the secret, which proves that both keys are in this TPM.

        `credential` is a marshalled TPM2B_ID_OBJECT, `encrypted_secret` a marshalled TPM2B_ENCRYPTED_SECRET.
        """
        blob, _ = TPM2B_ID_OBJECT.unmarshal(credential)
        secret, _ = TPM2B_ENCRYPTED_SECRET.unmarshal(encrypted_secret)
        with self._endorsement_key() as ek, self._loaded(attestation_key) as ak, self._policy() as policy:
            self._esapi.policy_secret(ESYS_TR.ENDORSEMENT, policy, b"", b"", b"", 0)
            return bytes(
                self._esapi.activate_credential(ak, ek, blob, secret, session1=ESYS_TR.PASSWORD, session2=policy)
            )

    # Keys

    @_tpm_errors
    def create_attestation_key(self) -> KeyBlob:
        """A restricted P-256 signing key below the storage root key."""
        attributes = _KEY_ATTRIBUTES | TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.SIGN_ENCRYPT
        return self._create(ESYS_TR.OWNER, TPM2B_PUBLIC.parse("ecc256:ecdsa-sha256:null", objectAttributes=attributes))

    @_tpm_errors
    def create_identity_key(self) -> KeyBlob:
        """An RSA-2048 OAEP-SHA256 decryption key for this boot, usable while `IDENTITY_PCRS` keep their values."""
        policy_digest = self._pcr_policy_digest()
        template = TPM2B_PUBLIC.parse(
            "rsa2048:oaep-sha256:null",
            objectAttributes=_KEY_ATTRIBUTES | TPMA_OBJECT.DECRYPT,
            authPolicy=policy_digest,
        )
        return self._create(ESYS_TR.NULL, template)

    @_tpm_errors
    def identity_decrypt(self, identity_key: KeyBlob, ciphertext: bytes) -> bytes:
        """RSAES-OAEP (SHA-256, MGF1-SHA-256, empty label) by the identity key."""
        with self._loaded(identity_key, ESYS_TR.NULL) as key, self._policy() as policy:
            self._esapi.policy_pcr(policy, b"", pcr_selection(IDENTITY_PCRS))
            scheme = TPMT_RSA_DECRYPT(scheme=TPM2_ALG.NULL)
            return bytes(self._esapi.rsa_decrypt(key, ciphertext, scheme, session1=policy))

    # Statements

    @_tpm_errors
    def quote(self, attestation_key: KeyBlob, nonce: bytes, pcrs: Sequence[int]) -> tuple[bytes, bytes]:
        """TPM2_Quote of the SHA-256 bank: (TPMS_ATTEST, TPMT_SIGNATURE)."""
        with self._loaded(attestation_key) as key:
            attest, signature = self._esapi.quote(key, pcr_selection(pcrs), nonce)
            return bytes(attest), signature.marshal()

    @_tpm_errors
    def certify_identity(self, attestation_key: KeyBlob, identity_key: KeyBlob, nonce: bytes) -> tuple[bytes, bytes]:
        """TPM2_Certify of the identity key by the attestation key: (TPMS_ATTEST, TPMT_SIGNATURE)."""
        with self._loaded(attestation_key) as signer, self._loaded(identity_key, ESYS_TR.NULL) as key:
            attest, signature = self._esapi.certify(key, signer, nonce, TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL))
            return bytes(attest), signature.marshal()

    # Platform configuration registers

    @_tpm_errors
    def extend(self, pcr: int, digest: bytes) -> None:
        """Extend one register of the SHA-256 bank by a 32-byte digest."""
        value = TPMT_HA(hashAlg=TPM2_ALG.SHA256)
        value.digest.sha256 = digest
        self._esapi.pcr_extend(ESYS_TR(pcr), TPML_DIGEST_VALUES(digests=[value]))

    @_tpm_errors
    def read_pcrs(self, pcrs: Sequence[int]) -> dict[int, bytes]:
        """The SHA-256 bank's values, 32 bytes each (the TPM gives at most eight at a time)."""
        values: dict[int, bytes] = {}
        for start in range(0, len(pcrs), 8):
            wanted = sorted(pcrs[start : start + 8])
            _counter, _selected, digests = self._esapi.pcr_read(pcr_selection(wanted))
            if len(digests) != len(wanted):
                raise TpmError("The TPM has no active SHA-256 bank.", "Activate the SHA-256 bank of the TPM.")
            values.update(zip(wanted, (bytes(digest) for digest in digests), strict=True))
        return values

    # Inside

    def flush_everything(self) -> None:
        """Drop what a process that died left behind; only for a TPM without a resource manager, under its lock."""
        for first in (TPM2_HC.TRANSIENT_FIRST, TPM2_HC.LOADED_SESSION_FIRST, TPM2_HC.ACTIVE_SESSION_FIRST):
            _more, found = self._esapi.get_capability(TPM2_CAP.HANDLES, int(first), 64)
            for handle in found.data.handles:
                self._esapi.flush_context(self._esapi.tr_from_tpmpublic(handle))

    @contextmanager
    def _endorsement_key(self) -> Iterator[Any]:
        """The key of the certificate: persistent as its vendor left it, else made again from the same seed."""
        _certificate, template = create_ek_template("EK-RSA2048", NVReadEK(self._esapi))
        _more, found = self._esapi.get_capability(TPM2_CAP.HANDLES, _EK_HANDLE, 1)
        if _EK_HANDLE in [int(handle) for handle in found.data.handles]:
            handle = self._esapi.tr_from_tpmpublic(_EK_HANDLE)
            if _same_template(self._esapi.read_public(handle)[0], template):
                yield handle
                return
        handle = self._esapi.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.ENDORSEMENT)[0]
        with self._flushed(handle):
            yield handle

    @contextmanager
    def _primary(self, hierarchy: Any) -> Iterator[Any]:
        template = TPM2B_PUBLIC.parse("ecc256:aes128cfb", objectAttributes=_PARENT_ATTRIBUTES)
        handle = self._esapi.create_primary(TPM2B_SENSITIVE_CREATE(), template, hierarchy)[0]
        with self._flushed(handle):
            yield handle

    def _create(self, hierarchy: Any, template: TPM2B_PUBLIC) -> KeyBlob:
        with self._primary(hierarchy) as parent:
            private, public, *_ = self._esapi.create(parent, TPM2B_SENSITIVE_CREATE(), template)
            return KeyBlob(public.marshal(), private.marshal())

    @contextmanager
    def _loaded(self, blob: KeyBlob, hierarchy: Any = ESYS_TR.OWNER) -> Iterator[Any]:
        public, _ = TPM2B_PUBLIC.unmarshal(blob.public)
        private, _ = TPM2B_PRIVATE.unmarshal(blob.private)
        with self._primary(hierarchy) as parent:
            handle = self._esapi.load(parent, private, public)
        with self._flushed(handle):
            yield handle

    @contextmanager
    def _policy(self, kind: Any = TPM2_SE.POLICY) -> Iterator[Any]:
        symmetric = TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)
        handle = self._esapi.start_auth_session(ESYS_TR.NONE, ESYS_TR.NONE, kind, symmetric, TPM2_ALG.SHA256)
        with self._flushed(handle):
            yield handle

    @contextmanager
    def _flushed(self, handle: Any) -> Iterator[None]:
        try:
            yield
        finally:
            self._esapi.flush_context(handle)

    def _pcr_policy_digest(self) -> bytes:
        with self._policy(TPM2_SE.TRIAL) as trial:
            self._esapi.policy_pcr(trial, b"", pcr_selection(IDENTITY_PCRS))
            return bytes(self._esapi.policy_get_digest(trial))

    def _public_area(self, handle: Any) -> bytes:
        public: bytes = self._esapi.read_public(handle)[0].publicArea.marshal()
        return public


def start_up(tcti: str, lock: Path, locality: int) -> None:
    """TPM2_Startup(CLEAR) of a software TPM that was just switched on; PCR 0 then starts from `locality` (0 or 3)."""
    driver, _, target = tcti.partition(":")
    with exclusive(lock, seconds=LOCK_SECONDS, what="The host's TPM"):
        try:
            transport = TCTILdr(driver, target)
            with ESAPI(transport) as esapi:
                transport.set_locality(locality)
                esapi.startup(TPM2_SU.CLEAR)
                transport.set_locality(0)
        except TSS2_Exception as error:
            raise TpmError(f"The TPM did not start from locality {locality}: {error}.") from error


@contextmanager
def open_tpm(tcti: str, lock: Path, seconds: float = LOCK_SECONDS) -> Iterator[TpmSession]:
    """A session with the TPM behind `tcti` (`swtpm:path=…`, `device:/dev/tpmrm0`), which no other user has meanwhile.

    Raises `Busy` if another user holds it for `seconds`, `TpmError` if it does not answer.
    """
    driver, _, target = tcti.partition(":")
    with exclusive(lock, seconds=seconds, what="The host's TPM"):
        try:
            esapi = ESAPI(TCTILdr(driver, target))
        except TSS2_Exception as error:
            raise TpmError(f"The TPM behind {tcti} does not answer.", "Start the host, or see its own log.") from error
        with esapi:
            session = TpmSession(esapi)
            try:
                if driver == "swtpm":
                    session.flush_everything()
            except TSS2_Exception as error:
                raise TpmError(f"The TPM behind {tcti} does not answer properly: {error}.") from error
            yield session


def identity_decrypt(access: HostTpmAccess, ciphertext: bytes) -> bytes:
    """What was encrypted (RSAES-OAEP, SHA-256, empty label) for the identity key that HGS certified for this boot.

    Raises `TpmError` if the TPM refuses: another boot, changed PCRs, or a ciphertext for another key.
    """
    try:
        blob = KeyBlob.parse(access.identity_key.read_bytes())
    except OSError as error:
        raise TpmError("The host has no identity key.", "Start the host; every boot makes one.") from error
    with open_tpm(access.tcti, access.lock) as tpm:
        return tpm.identity_decrypt(blob, ciphertext)


def pcr_selection(pcrs: Sequence[int]) -> Any:
    """These registers of the SHA-256 bank."""
    return TPML_PCR_SELECTION.parse("sha256:" + ",".join(str(pcr) for pcr in pcrs))


def _same_template(public: Any, template: Any) -> bool:
    area, wanted = public.publicArea, template.publicArea
    return bool(
        area.type == wanted.type
        and area.objectAttributes == wanted.objectAttributes
        and bytes(area.authPolicy) == bytes(wanted.authPolicy)
    )
