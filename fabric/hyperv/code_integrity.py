"""An emulated host enforces its code-integrity policy: which of its profile's drivers are loaded at boot.

The policy is a real one, in a file or made from the profile, and it is asked as HGS would ask it. What Windows reads
off a driver, the profile says: its hash, its publisher, and the authority above. A driver of which the policy cannot
tell is refused, as one that it does not allow.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from cryptography.x509 import load_pem_x509_certificate

from fabric.hyperv.errors import ProfileError
from fabric.hyperv.firmware_events import module_digest
from fabric.hyperv.profile import BOOT_AUTHORITY, BUILT_IN, CodeIntegrityPolicy, HostProfile, Module
from hgs.attestation.ci_policy import (
    MAX_POLICY,
    Allowed,
    CiPolicy,
    ImageFacts,
    PolicyBuilder,
    PolicyDocument,
    PolicyOption,
    PublisherRule,
    Refused,
    SignatureFacts,
    Version,
    evaluate,
    parse_ci_policy,
    read_policy_xml,
)
from hgs.attestation.errors import AttestationError
from hgs.attestation.sipa import SiPolicyInfo
from hgs.attestation.tpm import Algorithm


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """The policy a host loads: `content` is the unsigned binary, whose hash is measured."""

    name: str
    content: bytes
    document: PolicyDocument
    info: SiPolicyInfo


@dataclass(frozen=True, slots=True)
class LoadedDrivers:
    """What comes of asking the policy. `refused` and `audited` are sentences, one a driver."""

    profile: HostProfile
    refused: tuple[str, ...] = ()
    audited: tuple[str, ...] = ()


def policy_in_force(policy: CodeIntegrityPolicy) -> PolicyInForce:
    """The profile's policy. Raises `ProfileError` for a policy file that cannot be read."""
    found = _from_file(policy.policy_file) if policy.policy_file else parse_ci_policy(_made(policy).serialise())
    if found.document is None:
        raise ProfileError(f"The policy in {policy.policy_file} cannot be enforced: {found.unreadable}.")
    info = SiPolicyInfo(
        policy.file_name, found.header.version, Algorithm.SHA256, hashlib.sha256(found.content).digest()
    )
    return PolicyInForce(found.name or policy.file_name, found.content, found.document, info)


def load_drivers(profile: HostProfile, policy: PolicyInForce) -> LoadedDrivers:
    """The profile without the drivers that the policy does not allow; in audit mode with them, and told."""
    if not profile.boot.code_integrity:
        return LoadedDrivers(profile)
    loader, *others = profile.modules
    kept, told = [loader], []
    for module in others:
        why = _refusal(module, policy.document, test_signing=profile.boot.test_signing) if module.driver else ""
        if why:
            told.append(f"The driver {_facts(module).title} is not allowed by CI policy {policy.name}: {why}.")
        if not why or policy.document.audit:
            kept.append(module)
    left = replace(profile, modules=tuple(kept))
    sentences = tuple(told)
    return LoadedDrivers(left, audited=sentences) if policy.document.audit else LoadedDrivers(left, refused=sentences)


def _refusal(module: Module, document: PolicyDocument, *, test_signing: bool) -> str:
    answer = evaluate(document.body, _facts(module), test_signing=test_signing, options=document.options)
    if isinstance(answer, Allowed):
        return ""
    return answer.reason if isinstance(answer, Refused) else answer.why


def _facts(module: Module) -> ImageFacts:
    signatures: tuple[SignatureFacts, ...] = ()
    if module.publisher:
        tbs = frozenset({_tbs_of(module.issuer)})
        signatures = (SignatureFacts(module.publisher, module.issuer, frozenset(), tbs, True, frozenset(), ""),)
    return ImageFacts(
        module.name,
        {"sha256": module_digest(module)},
        module.name,
        "",
        "",
        "",
        _version(module.version),
        signatures,
    )


def _tbs_of(issuer: str) -> bytes:
    """The hash of an authority's certificate; of another than the boot authority, one that stands for it."""
    if issuer != BOOT_AUTHORITY:
        return hashlib.sha256(f"certificate\0{issuer}".encode()).digest()
    certificate = load_pem_x509_certificate((BUILT_IN / "keys" / "boot-authority.pem").read_bytes())
    return hashlib.sha256(certificate.tbs_certificate_bytes).digest()


def _version(text: str) -> Version | None:
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) <= 0xFFFF for part in parts):
        return None
    major, minor, build, revision = map(int, parts)
    return major, minor, build, revision


def _made(policy: CodeIntegrityPolicy) -> PolicyDocument:
    builder = PolicyBuilder()
    for drivers in (True, False):
        for publisher in policy.publishers:
            rule = PublisherRule(_tbs_of(BOOT_AUTHORITY), publisher, BOOT_AUTHORITY)
            builder.allow_publisher(rule, drivers=drivers)
        for digest in policy.hashes:
            builder.allow_hash(bytes.fromhex(digest), drivers=drivers)
    options = PolicyOption.USER_MODE | PolicyOption.UNSIGNED_POLICY
    if policy.audit:
        options |= PolicyOption.AUDIT_MODE
    version = _version(policy.version)
    if version is None:
        raise ProfileError("code_integrity_policy.version must be four numbers such as 10.0.0.0.")
    return builder.build(int(options), version, name=policy.title, policy_id=UUID(policy.policy_id))


def _from_file(path: str) -> CiPolicy:
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_POLICY + 1)
        is_xml = data.lstrip()[:1] == b"<" or data[:3] == b"\xef\xbb\xbf"
        return parse_ci_policy(read_policy_xml(data).serialise() if is_xml else data)
    except OSError as error:
        raise ProfileError(f"The policy file {path} cannot be read: {error.strerror}.") from error
    except AttestationError as error:
        raise ProfileError(f"The policy file {path} cannot be used. {error.message}") from error
