"""Changes to what HGS trusts that no submission asked for: TPM makers in, hosts and artefacts out."""

import base64
import hashlib
import re
from typing import Final

from django.db import transaction
from django.utils import timezone

from hgs.models import Baseline, CiPolicy, DumpKey, TpmHost, TrustedTpmRoot
from hgs.policy import Action, may
from hgs.selectors.trust import read_certificate_authority
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid, NotFound
from portal.kernel.policy import require

MAX_CERTIFICATE_BYTES = 64 * 1024


def add_tpm_root(actor: Actor, name: str, content: bytes, *, as_root: bool = False) -> list[TrustedTpmRoot]:
    """Trust the certificate authorities in ``content`` (one DER certificate, or any number in PEM).

    A self-signed certificate becomes a root, any other an intermediate, unless ``as_root`` says that trust begins with
    it: some makers' roots were signed by a public authority of their time. Known ones are returned too; only
    ``as_root`` changes them. Raises Invalid for anything that is not a CA certificate.
    """
    require(may(actor, Action.CHANGE_TRUST))
    return [_add_one(actor, name, der, as_root=as_root) for der in _certificates(content)]


def _certificates(content: bytes) -> list[bytes]:
    if len(content) > MAX_CERTIFICATE_BYTES:
        raise Invalid("certificate-too-large", f"A certificate file has at most {MAX_CERTIFICATE_BYTES} bytes.")
    if b"-----BEGIN" not in content:
        return [content]
    blocks = re.findall(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----", content)
    if not blocks:
        raise Invalid("certificate-unreadable", "The file holds no certificate.")
    return [base64.b64decode(block) for block in blocks]


def _add_one(actor: Actor, name: str, der: bytes, *, as_root: bool) -> TrustedTpmRoot:
    authority = read_certificate_authority(der)
    fingerprint = hashlib.sha256(der).hexdigest()
    with transaction.atomic():
        root, created = TrustedTpmRoot.objects.get_or_create(
            fingerprint=fingerprint,
            defaults={
                "name": (name or authority.subject)[:200],
                "certificate": der,
                "is_root": as_root or authority.is_root,
                "added_at": timezone.now(),
                "added_by": actor.name,
            },
        )
        promoted = as_root and not root.is_root
        if promoted:
            root.is_root = True
            root.save(update_fields=["is_root"])
        if created or promoted:
            audit.record(
                actor,
                "tpm-root:added",
                target_type="tpm-root",
                target_id=root.id,
                summary=f"TPM {'root' if root.is_root else 'intermediate'} {root.name} trusted.",
                data={"fingerprint": fingerprint, "subject": authority.subject, "is_root": root.is_root},
            )
    return root


def remove_tpm_root(actor: Actor, root: TrustedTpmRoot) -> None:
    """Stop trusting a TPM maker's certificate; hosts that were approved stay approved."""
    require(may(actor, Action.CHANGE_TRUST))
    with transaction.atomic():
        audit.record(
            actor,
            "tpm-root:removed",
            target_type="tpm-root",
            target_id=root.id,
            summary=f"TPM certificate {root.name} no longer trusted.",
            data={"fingerprint": root.fingerprint},
        )
        root.delete()


def remove_host(actor: Actor, host: TpmHost) -> None:
    """Forget a host. It attests no more, and its health certificate opens no more keys, from now on."""
    require(may(actor, Action.CHANGE_TRUST))
    with transaction.atomic():
        audit.record(
            actor,
            "tpm-host:removed",
            target_type="tpm-host",
            target_id=host.id,
            summary=f"Host {host.name} removed.",
            data={"ek_hash": host.ek_hash},
        )
        host.delete()


Artefact = Baseline | CiPolicy | DumpKey


def set_artefact_enabled(actor: Actor, artefact: Artefact, enabled: bool) -> None:
    """Switch a baseline, CI policy or dump key on or off; hosts that need it feel that at their next attestation.

    Where nothing changes there is no event.
    """
    require(may(actor, Action.CHANGE_TRUST))
    with transaction.atomic():
        if type(artefact).objects.filter(pk=artefact.pk, is_enabled=not enabled).update(is_enabled=enabled):
            _record(actor, artefact, "enabled" if enabled else "disabled")
    artefact.is_enabled = enabled


def remove_artefact(actor: Actor, artefact: Artefact) -> None:
    """Forget a baseline, CI policy or dump key; hosts that need it feel that at their next attestation.

    Raises NotFound when somebody else was faster.
    """
    require(may(actor, Action.CHANGE_TRUST))
    with transaction.atomic():
        removed, _ = type(artefact).objects.filter(pk=artefact.pk).delete()
        if not removed:
            raise NotFound("artefact-gone", f"{artefact.name} was removed already.")
        _record(actor, artefact, "removed")


def _record(actor: Actor, artefact: Artefact, what: str) -> None:
    kind = _KINDS[type(artefact)]
    audit.record(
        actor,
        f"{kind}:{what}",
        target_type=kind,
        target_id=artefact.id,
        summary=f"{artefact.name} {what}.",
        data={"digest": artefact.digest, "policy_version": f"v{artefact.policy_version}"},
    )


_KINDS: Final[dict[type[Artefact], str]] = {Baseline: "baseline", CiPolicy: "ci-policy", DumpKey: "dump-key"}
