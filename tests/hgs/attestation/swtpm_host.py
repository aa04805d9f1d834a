"""The host's side on a real TPM 2.0 (swtpm, through tpm2-pytss), with the methods of ``PythonTpm``."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from tpm2_pytss import ESAPI, ESYS_TR, TCTILdr, TSS2_Exception
from tpm2_pytss.constants import TPM2_ALG, TPM2_SE, TPMA_OBJECT
from tpm2_pytss.types import (
    TPM2B_ATTEST,
    TPM2B_DATA,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_PUBLIC,
    TPM2B_PUBLIC_KEY_RSA,
    TPM2B_SENSITIVE_CREATE,
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    TPMT_HA,
    TPMT_PUBLIC,
    TPMT_RSA_DECRYPT,
    TPMT_SIG_SCHEME,
    TPMT_SYM_DEF,
    TPMU_HA,
)

from hgs.attestation import tpm
from hgs.attestation.endorsement import endorsement_from_certificate
from hgs.attestation.tcglog import EventLogBuilder

EK_CERTIFICATE = 0x01C00002
# Without dictionary-attack protection: a TPM that is ended without TPM2_Shutdown counts that as a failed guess.
_KEY = (
    TPMA_OBJECT.FIXEDTPM
    | TPMA_OBJECT.FIXEDPARENT
    | TPMA_OBJECT.SENSITIVEDATAORIGIN
    | TPMA_OBJECT.USERWITHAUTH
    | TPMA_OBJECT.NODA
)


def manufacture(state: Path) -> Path:
    """Make a TPM with an EK certificate; returns the folder of its certification authority."""
    authority = state.parent / "ca"
    state.mkdir()
    authority.mkdir(exist_ok=True)
    (state / "localca.conf").write_text(
        f"statedir = {authority}\nsigningkey = {authority}/signkey.pem\n"
        f"issuercert = {authority}/issuercert.pem\ncertserial = {authority}/certserial\n"
    )
    options = "--platform-manufacturer Acme\n--platform-version 2.1\n--platform-model Test\n"
    (state / "localca.options").write_text(options)
    (state / "setup.conf").write_text(
        "create_certs_tool = /usr/bin/swtpm_localca\n"
        f"create_certs_tool_config = {state}/localca.conf\ncreate_certs_tool_options = {state}/localca.options\n"
    )
    command = ["swtpm_setup", "--tpm2", "--tpmstate", str(state), "--config", str(state / "setup.conf")]
    command += ["--create-ek-cert", "--lock-nvram", "--overwrite", "--pcr-banks", "sha256"]
    subprocess.run(command, check=True, capture_output=True)
    return authority


@contextmanager
def running(state: Path) -> Iterator["SwTpm"]:
    """A started TPM, its connection closed and its process ended at the end."""
    # Unix socket paths are short: the state folder of a test may not be.
    socket = Path(f"/tmp/gf-swtpm-{os.getpid()}-{state.name}")  # noqa: S108
    command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={state}", "--flags", "not-need-init,startup-clear"]
    command += ["--server", f"type=unixio,path={socket}", "--ctrl", f"type=unixio,path={socket}.ctrl"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        with connect(socket, process) as esapi:
            yield SwTpm(esapi)
    finally:
        process.terminate()
        process.wait(10)
        for path in (socket, Path(f"{socket}.ctrl")):
            path.unlink(missing_ok=True)


def connect(socket: Path, process: "subprocess.Popen[bytes]") -> ESAPI:
    """The connection, as soon as the TPM listens; five seconds at most."""
    deadline = time.monotonic() + 5
    while process.poll() is None and time.monotonic() < deadline:
        try:
            return ESAPI(TCTILdr("swtpm", f"path={socket}"))
        except TSS2_Exception:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
    raise RuntimeError("swtpm did not start")


class SwTpm:
    """EK by the default RSA template, P-256 attestation key, RSA identity key, all in a real TPM."""

    def __init__(self, esapi: ESAPI) -> None:
        self.esapi = esapi
        self.pcrs: dict[int, bytes] = {}
        self._ek, self.ek_public = self._ek_key()
        ecc = TPM2B_PUBLIC.parse(
            alg="ecc256:ecdsa-sha256:null", objectAttributes=_KEY | TPMA_OBJECT.RESTRICTED | TPMA_OBJECT.SIGN_ENCRYPT
        )
        self._ak, self.ak_public = self._create(ESYS_TR.ENDORSEMENT, ecc)
        identity = TPM2B_PUBLIC.parse(alg="rsa2048:null:null", objectAttributes=_KEY | TPMA_OBJECT.DECRYPT)
        self._identity, self.identity_public = self._create(ESYS_TR.OWNER, identity)

    def _ek_key(self) -> tuple[Any, tpm.TpmtPublic]:
        size = self.esapi.nv_read_public(self._nv())[0].nvPublic.dataSize
        parts = []
        for offset in range(0, size, 512):
            parts.append(bytes(self.esapi.nv_read(self._nv(), min(512, size - offset), offset, ESYS_TR.OWNER)))
        self.ek_certificate = b"".join(parts)
        template = endorsement_from_certificate(self.ek_certificate).public
        blank = TPMT_PUBLIC.unmarshal(_without_unique(template).serialise())[0]
        handle, public = self._create(ESYS_TR.ENDORSEMENT, TPM2B_PUBLIC(blank))
        return handle, public

    def _nv(self) -> Any:
        return self.esapi.tr_from_tpmpublic(EK_CERTIFICATE)

    def _create(self, hierarchy: Any, template: TPM2B_PUBLIC) -> tuple[Any, tpm.TpmtPublic]:
        handle, public, *_ = self.esapi.create_primary(TPM2B_SENSITIVE_CREATE(), template, hierarchy)
        return handle, tpm.TpmtPublic.parse(bytes(public.publicArea.marshal()))

    @property
    def identity_key(self) -> rsa.RSAPublicKey:
        key = tpm.to_cryptography_key(self.identity_public)
        assert isinstance(key, rsa.RSAPublicKey)
        return key

    def boot(self, log: EventLogBuilder) -> bytes:
        """Extend what the log says; the registers must be fresh."""
        for pcr, digests in log.extends():
            value = TPMU_HA(sha256=digests[tpm.Algorithm.SHA256])
            self.esapi.pcr_extend(ESYS_TR(pcr), TPML_DIGEST_VALUES([TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=value)]))
        for pcr in range(24):
            _, _, values = self.esapi.pcr_read(TPML_PCR_SELECTION.parse(f"sha256:{pcr}"))
            self.pcrs[pcr] = bytes(values[0])
        return log.build().serialise()

    def activate(self, credential: bytes, encrypted_secret: bytes) -> bytes:
        session = self.esapi.start_auth_session(
            ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL), TPM2_ALG.SHA256
        )
        try:
            self.esapi.policy_secret(ESYS_TR.ENDORSEMENT, session, b"", b"", b"", 0)
            opened = self.esapi.activate_credential(
                self._ak,
                self._ek,
                TPM2B_ID_OBJECT.unmarshal(credential)[0],
                TPM2B_ENCRYPTED_SECRET.unmarshal(encrypted_secret)[0],
                session2=session,
            )
        finally:
            self.esapi.flush_context(session)
        return bytes(opened)

    def quote(self, extra: bytes, selections: tuple[tpm.PcrSelection, ...]) -> tuple[bytes, bytes]:
        chosen = TPML_PCR_SELECTION.unmarshal(tpm.serialise_selections(selections))[0]
        scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)
        attest, signature = self.esapi.quote(self._ak, chosen, TPM2B_DATA(extra), scheme)
        return _attest(attest), bytes(signature.marshal())

    def certify(self, extra: bytes) -> tuple[bytes, bytes]:
        scheme = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)
        attest, signature = self.esapi.certify(self._identity, self._ak, TPM2B_DATA(extra), scheme)
        return _attest(attest), bytes(signature.marshal())

    def decrypt(self, ciphertext: bytes) -> bytes:
        """RSA-OAEP-SHA256 with the identity key."""
        scheme = TPMT_RSA_DECRYPT(scheme=TPM2_ALG.OAEP)
        scheme.details.anySig.hashAlg = TPM2_ALG.SHA256
        return bytes(self.esapi.rsa_decrypt(self._identity, TPM2B_PUBLIC_KEY_RSA(ciphertext), scheme))


def _attest(attest: TPM2B_ATTEST) -> bytes:
    return bytes(attest.attestationData) if hasattr(attest, "attestationData") else bytes(attest)


def _without_unique(public: tpm.TpmtPublic) -> tpm.TpmtPublic:
    return replace(public, unique=bytes(256))
