"""Verdicts of the modes without a TPM: membership in a domain group, and possession of a host key.

Nothing is said about what a host booted. A verdict has the same shape as in TPM mode: every check of the mode in its
order, the first one that fails ends the examination, the others are listed as not reached.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation.errors import AttestationError
from hgs.attestation.host_key import HostPublicKey, verify_host_signature
from hgs.attestation.identity_key import read_identity_key
from hgs.attestation.judgement import (
    IDENTITY_FAILED,
    IDENTITY_KEY,
    UNAUTHORIZED,
    EvidenceFailed,
    FailureKind,
    Judgement,
)
from hgs.attestation.pac import DomainAccount
from hgs.attestation.sid import NT_AUTHORITY, Sid, built_in_name
from hgs.attestation.verdict import MODE_AD, MODE_HOST_KEY, Verdict
from hgs.wire.hgsa import AttestationResultType

TICKET, GROUP = "KerberosTicket", "HostGroup"
HOST_KEY_KNOWN, HOST_KEY_SIGNATURE = "HostKeyKnown", "HostKeySignature"
DOMAIN_CHECKS: Final[Mapping[str, FailureKind]] = {
    TICKET: UNAUTHORIZED,
    GROUP: UNAUTHORIZED,
    IDENTITY_KEY: IDENTITY_FAILED,
}
"""The checks of Active Directory mode in their order."""
HOST_KEY_CHECKS: Final[Mapping[str, FailureKind]] = {
    HOST_KEY_KNOWN: UNAUTHORIZED,
    HOST_KEY_SIGNATURE: UNAUTHORIZED,
    IDENTITY_KEY: IDENTITY_FAILED,
}
"""The checks of host key mode in their order."""

_SHOWN_NAME: Final = 64
_SHOWN_GROUPS: Final = 12
_RECORDED_GROUPS: Final = 1100
"""Windows itself signs nobody in who has more than 1,015."""
_NOT_BOUND: Final = (
    "The ticket is not bound to this request: over plain HTTP, somebody on the way could have changed what it asks for."
)


@dataclass(frozen=True)
class NamedGroup:
    """A registered host group."""

    name: str
    sid: Sid


@dataclass(frozen=True)
class DomainOutcome:
    """A verdict of Active Directory mode.

    ``group`` is the registered group that the account is in, whatever else there is; ``keys`` are those to certify,
    empty unless the verdict passed.
    """

    verdict: Verdict
    group: NamedGroup | None = None
    keys: Mapping[AttestationResultType, rsa.RSAPublicKey] = field(default_factory=dict)


@dataclass(frozen=True)
class HostKeyOutcome:
    """A verdict of host key mode.

    ``is_signed``: a registered host key signed the request. ``key``: what to certify, None unless the verdict passed.
    """

    verdict: Verdict
    is_signed: bool = False
    key: rsa.RSAPublicKey | None = None


def identity_of(sid: Sid) -> str:
    """What names a domain account in health certificates: SHA-256 of its security identifier's text, hex."""
    return hashlib.sha256(str(sid).encode()).hexdigest()


def host_name_of(account: DomainAccount) -> str:
    """The name by which a domain account is shown as a host: the computer ``HV01$`` is ``hv01``.

    No other account of the domain is shown by a computer's bare name: a person ``hv01`` is ``hv01 (user)``. What cannot
    be printed is shown as such and not left out, and only ASCII changes its case, for the same reason.
    """
    name = account.name
    if not account.is_computer:
        mark = " (user)"
    elif name.endswith("$"):
        name, mark = name[:-1], ""
    else:
        mark = " (computer)"
    name = name.lower() if name.isascii() else name
    shown = "".join(character if character.isprintable() else "�" for character in name) or "(unnamed)"
    return shown[: _SHOWN_NAME - len(mark)] + mark


def judge_domain_host(
    account: DomainAccount,
    groups: Sequence[NamedGroup],
    requested: Sequence[tuple[AttestationResultType, bytes]],
    *,
    is_bound: bool,
    version: int = 2,
) -> DomainOutcome:
    """Judge an account by its verified ticket.

    ``requested``: the keys to certify as sent. ``is_bound``: the ticket's authenticator covers the request.
    ``version``: of the protocol, 1 or 2.
    """
    checks = Judgement(identity_of(account.sid), checks=DOMAIN_CHECKS, mode=MODE_AD, protocol_version=version)
    checks.host_name = host_name_of(account)
    who = f"{account.domain}\\{account.name}"
    group: NamedGroup | None = None
    try:
        kind = "computer" if account.is_computer else "user"
        evidence = {"account": who, "sid": str(account.sid), "kind": kind, "bound": "yes" if is_bound else "no"}
        checks.passed(TICKET, f"The Kerberos ticket of {who} is for this service.", evidence)
        if not is_bound:
            checks.warnings.append(_NOT_BOUND)
        group = _member_of(checks, account, groups)
        keys = {result: _identity_key(checks, data) for result, data in requested}
    except EvidenceFailed:
        return DomainOutcome(checks.ended(), group)
    checks.passed(IDENTITY_KEY, _certifiable(keys.values()))
    return DomainOutcome(checks.decided(), group, keys)


def judge_host_key(
    known_as: str, host_key: HostPublicKey, host_key_sent: bytes, identity_key_sent: bytes, signature: bytes
) -> HostKeyOutcome:
    """Judge a host by its key. ``known_as``: the name under which the key is registered, empty where it is not."""
    checks = Judgement(host_key.fingerprint, checks=HOST_KEY_CHECKS, mode=MODE_HOST_KEY)
    checks.host_name = known_as
    evidence = {"fingerprint": host_key.fingerprint, "key": host_key.algorithm}
    is_signed = False
    try:
        if not known_as:
            sentence = f"The host key (sha256 {host_key.fingerprint[:12]}…) is not registered with this HGS."
            raise checks.refuse(HOST_KEY_KNOWN, sentence, evidence)
        checks.passed(HOST_KEY_KNOWN, f"The host key is registered as {known_as}.", evidence)
        try:
            scheme = verify_host_signature(host_key, signature, host_key_sent + identity_key_sent)
        except AttestationError as error:
            raise checks.refuse_for(HOST_KEY_SIGNATURE, error) from error
        is_signed = True
        checks.passed(HOST_KEY_SIGNATURE, "The host key signed the request.", {"scheme": scheme})
        key = _identity_key(checks, identity_key_sent)
    except EvidenceFailed:
        return HostKeyOutcome(checks.ended(), is_signed)
    checks.passed(IDENTITY_KEY, _certifiable([key]))
    return HostKeyOutcome(checks.decided(), is_signed, key)


def _member_of(checks: Judgement, account: DomainAccount, groups: Sequence[NamedGroup]) -> NamedGroup:
    held = set(account.groups)
    found = next((group for group in groups if group.sid in held), None)
    evidence = {"groups": ", ".join(map(str, account.groups[:_RECORDED_GROUPS]))}
    if found is not None:
        sentence = f"{account.name} is a member of the host group {found.name}."
        checks.passed(GROUP, sentence, {"group": found.name, "sid": str(found.sid), **evidence})
        return found
    evidence["registered"] = ", ".join(group.name for group in groups)
    if not groups:
        raise checks.refuse(GROUP, f"{account.name} is in no registered host group: HGS knows none.", evidence)
    real = [sid for sid in account.groups if sid.authority == NT_AUTHORITY]
    listed = [_shown(sid) for sid in real[:_SHOWN_GROUPS]]
    if more := len(real) - len(listed):
        listed.append(f"{more} more")
    sentence = f"{account.name} is in no registered host group; its groups are {', '.join(listed)}."
    raise checks.refuse(GROUP, sentence, evidence)


def _shown(sid: Sid) -> str:
    name = built_in_name(sid)
    return f"{name} ({sid})" if name else str(sid)


def _identity_key(checks: Judgement, data: bytes) -> rsa.RSAPublicKey:
    try:
        return read_identity_key(data)
    except AttestationError as error:
        raise checks.refuse_for(IDENTITY_KEY, error) from error


def _certifiable(keys: Iterable[rsa.RSAPublicKey]) -> str:
    sizes = ", ".join(f"RSA {key.key_size}" for key in keys)
    return f"The identity key can be certified ({sizes}). Nothing proves in this mode where its private half is kept."
