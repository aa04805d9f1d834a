"""What submitted files say, read strictly: host identities, keys and groups, baselines, code integrity policies.

The same reading serves the door (a file that is not of its kind is refused), the administrator (what would change) and
approval itself.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hgs.attestation import baseline as baselines
from hgs.attestation.ci_policy import parse_ci_policy
from hgs.attestation.ekcert import EkCertificate, parse_ek_certificate
from hgs.attestation.endorsement import endorsement_from_certificate, endorsement_from_spki
from hgs.attestation.errors import AttestationError
from hgs.attestation.host_key import read_host_key_file
from hgs.attestation.sid import read_host_group as read_group_sid
from hgs.models import SubmissionKind
from hgs.wire.errors import WireError
from hgs.wire.platform_identifier import parse_identifier
from portal.kernel.errors import Invalid

_NO_CERTIFICATE: Final = (
    "The file holds no certificate of the endorsement key, so nothing says that this is a TPM. "
    "The host can be admitted by force alone, in version 1."
)


@dataclass(frozen=True)
class Artefact:
    """A submitted file as read. ``digest`` is what identifies it to attestation, 64 lower-case hex digits."""

    digest: str
    facts: dict[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostIdentity(Artefact):
    """A host's identity; ``digest`` is the hash of its endorsement key."""

    name: str = ""
    ek_public: bytes = b""
    ek_certificate: bytes = field(default=b"", repr=False)

    @property
    def ek_hash(self) -> str:
        """SHA-256 of the endorsement key's SubjectPublicKeyInfo."""
        return self.digest


@dataclass(frozen=True)
class HostKeyIdentity(Artefact):
    """A host's public key (SubjectPublicKeyInfo, DER); ``digest`` is its hash."""

    public_key: bytes = b""


@dataclass(frozen=True)
class HostGroupIdentity(Artefact):
    """A group of a domain; ``digest`` is the hash of its identifier."""

    sid: str = ""


def read(kind: SubmissionKind, content: bytes) -> Artefact:
    """Read a file of ``kind``. Raises Invalid with the reason."""
    return _READERS[kind](content)


def read_host_identity(content: bytes) -> HostIdentity:
    """Read a platform identifier file, with or without a certificate of the endorsement key. Raises Invalid."""
    try:
        identifier = parse_identifier(content)
        certificate = parse_ek_certificate(identifier.certificate) if identifier.certificate else None
        endorsement = (
            endorsement_from_certificate(identifier.certificate)
            if identifier.certificate
            else endorsement_from_spki(identifier.endorsement_key)
        )
    except (AttestationError, WireError) as error:
        raise _unreadable(SubmissionKind.HOST, error.message) from error
    if identifier.endorsement_key != endorsement.spki:
        raise _unreadable(SubmissionKind.HOST, "Its endorsement key is not the one in its certificate.")
    return HostIdentity(
        digest=endorsement.ek_hash,
        facts=_host_facts(identifier.name, endorsement.ek_hash, certificate),
        warnings=(_NO_CERTIFICATE,)
        if certificate is None
        else tuple(f"The certificate is unusual: {quirk}." for quirk in certificate.quirks),
        name=identifier.name,
        ek_public=identifier.endorsement_key,
        ek_certificate=identifier.certificate or b"",
    )


def _host_facts(name: str, ek_hash: str, certificate: EkCertificate | None) -> dict[str, str]:
    facts = {"Name in the file": name, "Endorsement key (SHA-256)": ek_hash}
    if certificate is None:
        return facts | {"Certificate": "none"}
    return facts | {
        "Certificate issuer": certificate.issuer_name,
        "TPM": certificate.manufacturer or "not stated",
        "Certificate valid": f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}",
    }


def read_host_key(content: bytes) -> HostKeyIdentity:
    """Read a host's certificate or public key, DER or PEM. Raises Invalid."""
    try:
        found = read_host_key_file(content)
    except AttestationError as error:
        raise _unreadable(SubmissionKind.HOST_KEY, error.message) from error
    facts = {"Public key (SHA-256)": found.fingerprint, "Key": found.algorithm}
    if found.subject:
        facts["Certificate subject"] = found.subject
    return HostKeyIdentity(found.fingerprint, facts, found.warnings, public_key=found.spki)


def read_host_group(content: bytes) -> HostGroupIdentity:
    """Read the security identifier of a group: its text, which a line end may follow. Raises Invalid."""
    try:
        sid = str(read_group_sid(content.removesuffix(b"\n").removesuffix(b"\r").decode("ascii")))
    except UnicodeDecodeError as error:
        raise _unreadable(SubmissionKind.HOST_GROUP, "A security identifier is plain text.") from error
    except AttestationError as error:
        raise _unreadable(SubmissionKind.HOST_GROUP, error.message) from error
    return HostGroupIdentity(hashlib.sha256(sid.encode()).hexdigest(), {"Security identifier": sid}, sid=sid)


def read_baseline(content: bytes) -> Artefact:
    """Read a baseline from a TCG log. Two logs that say the same have the same digest. Raises Invalid."""
    try:
        boot = baselines.boot_from_reference_log(content)
    except AttestationError as error:
        raise _unreadable(SubmissionKind.BASELINE, error.message) from error
    found = baselines.baseline_of(boot)
    canonical = json.dumps(found.to_json(), sort_keys=True, separators=(",", ":"))
    facts = {
        "Secure Boot": "on" if found.secure_boot else "off",
        "Boot programs allowed by": ", ".join(item.description for item in found.authorities) or "nothing",
        "Revocation list (dbx)": f"{len(found.dbx)} entries",
        "Debugging": "on" if found.debug else "off",
        "Custom Secure Boot policies": str(len(found.custom_policies)),
        "CI policies of the reference host": ", ".join(item.label for item in boot.ci_policies) or "none",
    }
    facts |= {f"{name} (SHA-256)": digest for name, digest in sorted(found.databases.items())}
    return Artefact(hashlib.sha256(canonical.encode()).hexdigest(), facts, baselines.reference_warnings(boot))


def measured_baseline(content: bytes) -> baselines.Baseline:
    """The baseline in a stored TCG log."""
    return baselines.baseline_from_log(content)


def read_ci_policy(content: bytes) -> Artefact:
    """Read a code integrity policy. Raises Invalid."""
    try:
        policy = parse_ci_policy(content)
    except AttestationError as error:
        raise _unreadable(SubmissionKind.CI_POLICY, error.message) from error
    header = policy.header
    facts = {
        "Policy version": header.version_text,
        "Mode": "audit" if header.audit else "enforced",
        "Policy type": str(header.policy_type),
        "File rules": str(header.file_rules),
        "Signers": str(header.signers),
        "Signed file": "yes (the signature is not what hosts measure)" if policy.signed else "no",
        "Measured digest (SHA-256)": policy.digest,
    }
    return Artefact(policy.digest, facts, policy.warnings)


def _unreadable(kind: SubmissionKind, reason: str) -> Invalid:
    return Invalid(
        f"not-a-{kind.value}",
        f"The file cannot be used as a {kind.label.lower()}. {reason}",
        fields={"content": reason},
    )


_READERS: Final[dict[SubmissionKind, Callable[[bytes], Artefact]]] = {
    SubmissionKind.HOST: read_host_identity,
    SubmissionKind.HOST_KEY: read_host_key,
    SubmissionKind.HOST_GROUP: read_host_group,
    SubmissionKind.BASELINE: read_baseline,
    SubmissionKind.CI_POLICY: read_ci_policy,
}
