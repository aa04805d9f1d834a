"""The evidence checks of round 2, each with its sentence, in the order they are made."""

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from hgs.attestation import judgement as j
from hgs.attestation.ekcert import valid_until, verify_ek_chain
from hgs.attestation.endorsement import EndorsementKey, EndorsementTrust
from hgs.attestation.errors import AttestationError, CertificateInvalid, LogMismatch
from hgs.attestation.judgement import Judgement
from hgs.attestation.sealed_state import ExchangeState
from hgs.attestation.sipa import MeasuredBoot, measured_boot
from hgs.attestation.tcglog import parse_log, verify_log_by_quote
from hgs.attestation.tpm import (
    DIGEST_SIZES,
    Algorithm,
    Attributes,
    PcrSelection,
    QuoteInfo,
    Scheme,
    TpmsAttest,
    TpmtPublic,
    TpmtSignature,
    name_of,
    to_cryptography_key,
    verify_signature,
)

QUOTED_PCRS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14)
QUOTED_SELECTION: Final = PcrSelection.of(Algorithm.SHA256, QUOTED_PCRS)
# Plain numbers: enumerations are slow to combine, and these are combined at every request.
HELD_IN_TPM: Final = int(Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN)
_ATTESTATION_KEY: Final = HELD_IN_TPM | int(Attributes.RESTRICTED | Attributes.SIGN)
_DECRYPT: Final = int(Attributes.DECRYPT)
_AK_SCHEMES: Final = frozenset(
    Scheme(algorithm, Algorithm.SHA256) for algorithm in (Algorithm.ECDSA, Algorithm.RSASSA, Algorithm.RSAPSS)
)


def check_endorsement(result: Judgement, endorsement: EndorsementKey, trust: EndorsementTrust, now: datetime) -> None:
    """The endorsement key is registered, and its certificate leads to a trusted manufacturer."""
    evidence = {"ek_hash": endorsement.ek_hash}
    host = trust.find_host(endorsement.ek_hash)
    if host is None:
        sentence = (
            f"The endorsement key (sha256 {endorsement.ek_hash[:12]}…) is not registered with this HGS. "
            "If the host is yours, register its platform identifier."
        )
        raise result.refuse(j.EK_KNOWN, sentence, evidence)
    result.host_name = host.name
    if host.only_by:
        sentence = (
            f"{host.name} is registered for protocol version {host.only_by} and attested by the other. "
            "Approve its identity for that version, or let it attest by the version it is registered for."
        )
        raise result.refuse(j.EK_KNOWN, sentence, evidence)
    result.passed(j.EK_KNOWN, f"The endorsement key is registered as {host.name}.", evidence)
    certificate = endorsement.certificate
    if host.without_certificate:
        result.skipped(j.EK_CERTIFICATE, f"{host.name} was admitted without an endorsement-key certificate.")
        result.warnings.append(f"{host.name} was admitted without an endorsement-key certificate.")
        return
    if certificate is None:
        raise result.refuse(
            j.EK_CERTIFICATE, "No certificate of the endorsement key is known, and none was sent.", evidence
        )
    try:
        path = verify_ek_chain(certificate, trust.roots, trust.intermediates, now)
    except CertificateInvalid as error:
        raise result.refuse_for(j.EK_CERTIFICATE, error, {"issuer": certificate.issuer_name}) from error
    shown = {"manufacturer": certificate.manufacturer, "issuer": certificate.issuer_name, "root": path[-1].subject_name}
    if certificate.quirks:
        shown["quirks"] = ", ".join(certificate.quirks)
    if now > (end := valid_until(path)):
        shown["valid_until"] = f"{end:%Y-%m-%d}"
        result.warnings.append(f"The endorsement key's certificate, or one above it, ran out on {end:%Y-%m-%d}.")
    result.passed(j.EK_CERTIFICATE, f"The endorsement key's certificate leads to {path[-1].subject_name}.", shown)


def check_attestation_key(result: Judgement, ak: TpmtPublic) -> None:
    """The attestation key is a restricted signing key that cannot leave its TPM.

    Restricted is what makes a quote mean something: such a key signs no outside data that looks like a TPM's own.
    """
    attributes = int(ak.attributes)
    if attributes & (_ATTESTATION_KEY | _DECRYPT) != _ATTESTATION_KEY:
        sentence = "The attestation key is not a restricted signing key that was made in its TPM and cannot leave it."
        raise result.refuse(j.ATTESTATION_KEY, sentence, {"attributes": f"0x{attributes:08x}"})
    scheme = ak.scheme
    if scheme is None or scheme not in _AK_SCHEMES or ak.name_algorithm is not Algorithm.SHA256:
        raise result.refuse(j.ATTESTATION_KEY, "The attestation key does not sign with SHA-256 (ECDSA, RSASSA or PSS).")
    try:
        to_cryptography_key(ak)
    except AttestationError as error:
        raise result.refuse_for(j.ATTESTATION_KEY, error) from error
    evidence = {"name": name_of(ak).hex(), "scheme": scheme.algorithm.name}
    result.passed(j.ATTESTATION_KEY, "The attestation key is bound to its TPM.", evidence)


def secret_mac(nonce: bytes, secret: bytes) -> bytes:
    """What the state keeps of the activation secret: nothing that helps whoever reads it."""
    return hmac.digest(nonce, b"hgs activation secret" + secret, "sha256")


def check_activation(result: Judgement, state: ExchangeState, secret: bytes) -> None:
    """The secret came back, so endorsement key and attestation key are in one TPM."""
    if not hmac.compare_digest(secret_mac(state.nonce, secret), state.secret_mac):
        sentence = "The TPM did not open the credential: attestation key and endorsement key are not in one TPM."
        raise result.refuse(j.ACTIVATION, sentence)
    result.passed(j.ACTIVATION, "The TPM of the endorsement key holds the attestation key.")


def check_quote(result: Judgement, state: ExchangeState, ak: TpmtPublic, quote: bytes, signature: bytes) -> QuoteInfo:
    """Signature, kind, nonce and completeness of the quote, in that order; returns it verified."""
    attest = check_signed(result, j.QUOTE_SIGNATURE, ak, quote, signature)
    if not isinstance(attest.attested, QuoteInfo):
        raise result.refuse(j.QUOTE_SIGNATURE, "What the TPM signed is not a quote.")
    result.passed(j.QUOTE_SIGNATURE, "The quote is signed by the attestation key.")
    if not hmac.compare_digest(attest.extra_data, state.nonce):
        raise result.refuse(j.NONCE, "The quote is not over this session's nonce: it is an old one, or for another.")
    result.passed(j.NONCE, "The quote is fresh: it is over this session's nonce.")
    _check_selection(result, attest.attested)
    return attest.attested


def check_signed(result: Judgement, code: str, ak: TpmtPublic, attest: bytes, signature: bytes) -> TpmsAttest:
    """The attestation key signed this structure; returns it. Refuses under ``code``."""
    try:
        verify_signature(ak, attest, TpmtSignature.parse(signature))
        return TpmsAttest.parse(attest)
    except AttestationError as error:
        raise result.refuse_for(code, error) from error


def _check_selection(result: Judgement, quote: QuoteInfo) -> None:
    # Exactly one bank and exactly these registers: a second bank or a missing register would leave something unproven.
    # A TPM with more registers writes a longer bitmap than ours.
    if quote.selections != (QUOTED_SELECTION,) and not _same_registers(quote.selections):
        evidence = {"selection": _shown(quote.selections) or "empty"}
        raise result.refuse(j.SELECTION, "The quote does not cover the registers that were asked for.", evidence)
    evidence = {"selection": _SHOWN_SELECTION}
    if len(quote.pcr_digest) != DIGEST_SIZES[Algorithm.SHA256]:
        raise result.refuse(j.SELECTION, "The quote's digest is not SHA-256.", evidence)
    result.passed(j.SELECTION, "The quote covers every register that was asked for.", evidence)


def _same_registers(selections: Sequence[PcrSelection]) -> bool:
    return [(item.hash, item.pcrs) for item in selections] == [(Algorithm.SHA256, QUOTED_PCRS)]


def _shown(selections: Sequence[PcrSelection]) -> str:
    return "; ".join(f"{item.hash.name.lower()}: {', '.join(map(str, item.pcrs))}" for item in selections)


_SHOWN_SELECTION: Final = _shown((QUOTED_SELECTION,))


def check_log(result: Judgement, quote: QuoteInfo, data: bytes, pcr_values: bytes | None) -> MeasuredBoot:
    """The boot log replays to the quote, and can be understood."""
    try:
        log = parse_log(data)
        claimed = _claimed(pcr_values)
        verified = verify_log_by_quote(log, QUOTED_SELECTION, quote.pcr_digest, Algorithm.SHA256, claimed)
    except LogMismatch as error:
        registers = {"registers": ", ".join(map(str, error.registers))} if error.registers else {}
        raise result.refuse_for(j.REPLAY, error, registers) from error
    except AttestationError as error:
        raise result.refuse_for(j.REPLAY, error) from error
    result.passed(j.REPLAY, f"The boot log ({len(log.events)} records) replays to the quoted registers.")
    try:
        boot = measured_boot(verified)
    except AttestationError as error:
        raise result.refuse_for(j.READABLE, error) from error
    result.passed(j.READABLE, "Every record of the boot log that policies read is accounted for.")
    return boot


def _claimed(values: bytes | None) -> dict[int, bytes] | None:
    size = DIGEST_SIZES[Algorithm.SHA256]
    if values is None or len(values) != size * len(QUOTED_PCRS):
        return None
    return {pcr: values[at * size : (at + 1) * size] for at, pcr in enumerate(QUOTED_PCRS)}
