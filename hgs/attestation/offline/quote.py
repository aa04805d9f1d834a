"""Checking a quote in files: signature, kind, nonce, and that everything quoted is explained.

A quote says only that registers held values with a certain digest. It means something when each selected register of
each selected bank is explained, by a log that replays to it or by a value that whoever asks has given.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation.errors import AttestationError, Malformed, SignatureInvalid, Unsupported
from hgs.attestation.offline.explain import Explanation, explain
from hgs.attestation.offline.key_files import AttestationKey, looks_like_a_signature, read_signature
from hgs.attestation.offline.log_reading import ReadLog
from hgs.attestation.offline.names import bank_name
from hgs.attestation.tpm import (
    MODERN_HASHES,
    Algorithm,
    Attributes,
    PublicKey,
    QuoteInfo,
    TpmsAttest,
    TpmtPublic,
    TpmtSignature,
    to_cryptography_key,
    verify_signature,
)

MAX_ATTEST: Final = 4096
_MAGIC: Final = b"\xffTCG"
_QUOTE: Final = 0x8018
_KINDS: Final = {
    0x8014: "a certified NV index",
    0x8015: "a command audit",
    0x8016: "a session audit",
    0x8017: "the certification of a key (TPM2_Certify)",
    0x8019: "a time attestation",
    0x801A: "the certification of a key's creation (TPM2_CertifyCreation)",
    0x801C: "a certified digest of an NV index",
}
_HELD: Final = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN
_GUESSABLE: Final = 8
"""Bytes below which a nonce can be guessed or comes again by chance."""
_RESETTABLE: Final = frozenset((16, 23))
"""PC Client platforms let any program reset the registers for debugging and for applications."""
_TPM12_QUOTE: Final = b"\x01\x01\x00\x00QUOT"


@dataclass(frozen=True)
class Check:
    """One check with its outcome in words. ``code`` is stable."""

    code: str
    passed: bool
    sentence: str


@dataclass
class QuoteVerdict:
    """What was checked, in order; the first check that fails ends it."""

    checks: list[Check] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    quote: dict[str, Any] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether every check was made and passed."""
        return bool(self.checks) and self.checks[-1].code == "explained" and all(item.passed for item in self.checks)

    @property
    def code(self) -> str:
        """``accepted``, or the code of the check that failed."""
        return "accepted" if self.accepted else self.checks[-1].code

    @property
    def reason(self) -> str:
        """The sentence that decided."""
        return self.checks[-1].sentence

    def as_json(self) -> dict[str, Any]:
        """``{"accepted", "reason", "code", "checks": [{"check", "passed", "says"}], "warnings", "quote"}``."""
        checks = [{"check": item.code, "passed": item.passed, "says": item.sentence} for item in self.checks]
        found = {"accepted": self.accepted, "reason": self.reason, "code": self.code, "checks": checks}
        return found | {"warnings": self.warnings, "quote": self.quote}


class _Refused(Exception):  # noqa: N818 - leaves the sequence of checks, and never this module
    pass


@dataclass(frozen=True)
class QuoteFiles:
    """What was given. ``registers``: bank -> register -> value, None when no file was given; likewise ``log``."""

    quote: bytes
    signature: bytes
    key: AttestationKey
    nonce: bytes | None
    log: ReadLog | None
    registers: Mapping[int, Mapping[int, bytes]] | None


def verify_quote(files: QuoteFiles) -> QuoteVerdict:
    """Make all checks. Raises ``Malformed`` when the quote or the signature cannot be read at all."""
    attest = _without_prefix(files.quote)
    verdict = QuoteVerdict()
    try:
        _check_kind_is_readable(verdict, attest)
        key = _check_key(verdict, files.key)
        signature = _check_signature(verdict, files, key, attest)
        quote = _check_quote(verdict, attest)
        _check_nonce(verdict, quote, files.nonce)
        _check_explained(verdict, quote, signature, files)
    except _Refused:
        pass
    return verdict


def _pass(verdict: QuoteVerdict, code: str, sentence: str) -> None:
    verdict.checks.append(Check(code, True, sentence))


def _refuse(verdict: QuoteVerdict, code: str, sentence: str) -> _Refused:
    verdict.checks.append(Check(code, False, sentence))
    return _Refused()


def _without_prefix(data: bytes) -> bytes:
    """A TPM2B_ATTEST's content, or the bare TPMS_ATTEST."""
    if len(data) > MAX_ATTEST:
        raise Malformed(f"The quote file has {len(data)} bytes; a quote has at most {MAX_ATTEST}.")
    if len(data) > 6 and int.from_bytes(data[:2], "big") == len(data) - 2 and not data.startswith(_MAGIC):
        return data[2:]
    return data


def _check_kind_is_readable(verdict: QuoteVerdict, attest: bytes) -> None:
    if attest.startswith(_TPM12_QUOTE):
        sentence = "This is a quote of a TPM 1.2: it rests on SHA-1 alone and is not accepted."
        raise _refuse(verdict, "unsupported", sentence)
    if attest.startswith(_MAGIC):
        return
    # Other magic: evidence that something forged, if the rest is an attestation structure; otherwise another file.
    TpmsAttest.parse(_MAGIC + attest[4:])


def _check_key(verdict: QuoteVerdict, key: AttestationKey) -> PublicKey:
    if not isinstance(key.public, TpmtPublic):
        _check_strength(verdict, key.public)
        verdict.warnings.append(
            f"The key's file ({key.encoding}) does not say that the key is restricted and bound to a TPM. A key that "
            "is not could sign a forged quote."
        )
        return key.public
    try:
        public = to_cryptography_key(key.public)
    except AttestationError as error:
        raise _refuse(verdict, "weak-key", error.message) from error
    wanted = Attributes.RESTRICTED | Attributes.SIGN | _HELD
    if key.public.attributes & wanted != wanted or key.public.attributes & Attributes.DECRYPT:
        sentence = (
            "The attestation key is not a restricted signing key that was made in its TPM and is bound to it: it, or "
            "whoever else has it, signs also what only looks like a quote."
        )
        raise _refuse(verdict, "key-not-restricted", sentence)
    _check_strength(verdict, public)
    return public


def _check_strength(verdict: QuoteVerdict, key: PublicKey) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < 2048 or key.public_numbers().e < 3:
            raise _refuse(verdict, "weak-key", f"The attestation key is a weak RSA key ({key.key_size} bits).")
    elif key.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
        raise _refuse(verdict, "weak-key", f"The attestation key is on the unsupported curve {key.curve.name}.")


def _check_signature(verdict: QuoteVerdict, files: QuoteFiles, key: PublicKey, attest: bytes) -> TpmtSignature:
    try:
        candidates = read_signature(files.signature, key, _digest_size(attest))
    except Unsupported as error:
        if not looks_like_a_signature(files.signature, key):
            raise Malformed("The signature file holds no signature of a TPM.") from error
        raise _refuse(verdict, "unsupported-signature", error.message) from error
    except Malformed as error:
        if not looks_like_a_signature(files.signature, key):
            raise
        raise _refuse(verdict, "signature", f"The signature cannot be read: {error.message}") from error
    for signature in candidates:
        try:
            verify_signature(files.key.public, attest, signature, hashes=MODERN_HASHES | {Algorithm.SHA1})
        except SignatureInvalid as error:
            problem: AttestationError = error
        except AttestationError as error:
            raise _refuse(verdict, "unsupported-signature", error.message) from error
        else:
            _pass(verdict, "signature", f"The attestation key signed it ({signature.algorithm.name}).")
            if signature.hash is Algorithm.SHA1:
                verdict.warnings.append("The quote is signed over SHA-1, which is weak; HGS accepts no such quote.")
            return signature
    raise _refuse(verdict, "signature", f"The quote is not signed by this key: {problem.message}")


def _digest_size(attest: bytes) -> int:
    """Size of the quoted digest, which ends the structure; 0 when it cannot be told."""
    try:
        attested = TpmsAttest.parse(_MAGIC + attest[4:]).attested
    except AttestationError:
        return 0
    return len(attested.pcr_digest) if isinstance(attested, QuoteInfo) else 0


def _check_quote(verdict: QuoteVerdict, attest: bytes) -> TpmsAttest:
    if not attest.startswith(_MAGIC):
        sentence = "What was signed was not made by a TPM: it does not begin with TPM_GENERATED_VALUE."
        raise _refuse(verdict, "not-generated", sentence)
    kind = int.from_bytes(attest[4:6], "big")
    if kind != _QUOTE:
        what = _KINDS.get(kind, f"a structure of the type 0x{kind:04x}")
        raise _refuse(verdict, "not-a-quote", f"What the TPM signed is no quote of registers but {what}.")
    try:
        parsed = TpmsAttest.parse(attest)
    except AttestationError as error:
        raise _refuse(verdict, "not-a-quote", f"The quote cannot be read: {error.message}") from error
    _pass(verdict, "quote", "A TPM made it, and it is a quote of registers.")
    return parsed


def _check_nonce(verdict: QuoteVerdict, quote: TpmsAttest, nonce: bytes | None) -> None:
    clock = quote.clock_info
    verdict.quote |= {
        "nonce": quote.extra_data.hex(),
        "clock": clock.clock,
        "resets": clock.reset_count,
        "restarts": clock.restart_count,
        "clock_safe": clock.safe,
        "firmware_version": f"{quote.firmware_version:016x}",
    }
    if nonce is None:
        verdict.warnings.append("No nonce was given, so whether the quote is fresh was not checked.")
    elif not hmac.compare_digest(quote.extra_data, nonce):
        shown = quote.extra_data.hex() or "empty"
        raise _refuse(verdict, "nonce", f"The quote is over another nonce ({shown}): an old one, or meant for another.")
    else:
        _pass(verdict, "nonce", "The quote is over the nonce that was given.")
        if len(nonce) < _GUESSABLE:
            verdict.warnings.append(
                f"The nonce has only {len(nonce)} bytes: somebody can guess such a one, or have kept a quote over it. "
                "Use 16 random bytes or more."
            )


def _check_explained(verdict: QuoteVerdict, parsed: TpmsAttest, signature: TpmtSignature, files: QuoteFiles) -> None:
    quote = parsed.attested
    if not isinstance(quote, QuoteInfo):  # excluded by _check_quote
        raise _refuse(verdict, "not-a-quote", "What the TPM signed is no quote.")
    selected: dict[str, list[int]] = {}
    for item in quote.selections:
        selected.setdefault(bank_name(item.hash), []).extend(item.pcrs)
    verdict.quote |= {"registers": selected, "digest": quote.pcr_digest.hex()}
    if not any(selected.values()):
        raise _refuse(verdict, "empty-selection", "The quote covers no register at all, so it proves nothing.")
    verdict.warnings += _weaknesses(quote)
    found: Explanation = explain(quote, signature.hash, files.log, files.registers)
    verdict.warnings += found.warnings
    if found.problem:
        raise _refuse(verdict, found.code, found.problem)
    _pass(verdict, "explained", found.sentence(_listed(selected)))


def _weaknesses(quote: QuoteInfo) -> list[str]:
    """What the selection is worth less for than it seems."""
    found = [
        f"The quote covers PCR {', '.join(map(str, item.pcrs))} in the SHA-1 bank, which is weak: two things can be "
        "made that are measured alike. HGS accepts no such quote."
        for item in quote.selections
        if item.hash is Algorithm.SHA1 and item.pcrs
    ]
    covered = {pcr for item in quote.selections for pcr in item.pcrs}
    if resettable := sorted(covered & _RESETTABLE):
        alone = "" if covered - _RESETTABLE else ", and the quote covers no other register"
        names = ", ".join(map(str, resettable))
        found.append(f"Any program can reset PCR {names} and extend it anew: it says nothing about the boot{alone}.")
    return found


def _listed(selected: Mapping[str, Sequence[int]]) -> str:
    return "; ".join(f"{bank}: {', '.join(map(str, pcrs))}" for bank, pcrs in selected.items() if pcrs)
