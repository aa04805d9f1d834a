"""Publishing template disks and taking them out of use."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from uuid import UUID

from django.db import IntegrityError, transaction

from fabric import library
from fabric.models import BlobKind, TemplateDisk, TemplateState
from fabric.policy import FabricAction, decide, decide_template
from fabric.template_files import CatalogIdentity, check_disk, read_catalog
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.ids import new_id
from portal.kernel.policy import require


def publish_template(
    actor: Actor,
    *,
    catalog: bytes,
    disk: Iterable[bytes] | library.Received,
    description: str = "",
    family: str = "",
    release: str = "",
    pk: UUID | None = None,
    also: Callable[[TemplateDisk], None] = lambda _template: None,
) -> TemplateDisk:
    """Publish a signed disk, under the id `pk` if given. Its name, version and signer are read from the catalog.

    `disk` is streamed, or a file that has arrived whole already. Family and release left empty are the catalog's name
    and version. `also` is done in the transaction that publishes; what it raises publishes nothing. Raises `Denied`,
    `Invalid` (catalog, disk, size, `template-text`) and `Conflict` (`template-exists`).
    """
    require(decide(actor, FabricAction.PUBLISH_TEMPLATE))
    identity = read_catalog(catalog)
    family, release = _text("family", family), _text("release", release)
    with library.receive([catalog], BlobKind.CATALOG) as catalog_file, _arriving(disk) as disk_file:
        check_disk(disk_file.path)
        try:
            with transaction.atomic():
                template = TemplateDisk.objects.create(
                    id=pk or new_id(), name=identity.disk_name, version=identity.version, description=description[:500],
                    family=family or identity.disk_name, release=release or identity.version,
                    signer_fingerprint=identity.signer_fingerprint, signer_subject=identity.signer_subject,
                    catalog=library.keep(catalog_file), disk=library.keep(disk_file), published_by=actor.name,
                )  # fmt: skip
                _record(actor, template, "template:published", f"Published template disk {template}")
                also(template)
        except IntegrityError as error:
            raise template_exists(identity.disk_name, identity.version) from error
    return template


def require_new_identity(catalog: bytes) -> CatalogIdentity:
    """The identity in a catalog that no available disk has; raises `Invalid` and `Conflict` (`template-exists`)."""
    identity = read_catalog(catalog)
    same = TemplateDisk.objects.filter(
        name=identity.disk_name, version=identity.version, signer_fingerprint=identity.signer_fingerprint
    )
    if same.filter(state=TemplateState.AVAILABLE).exists():
        raise template_exists(identity.disk_name, identity.version)
    return identity


def describe_template(
    actor: Actor, *, template: TemplateDisk, family: str, release: str, description: str
) -> TemplateDisk:
    """Change the words tenants find a disk by. Without family or release it is not offered to them.

    Raises `Denied` and `Invalid` (`template-text`).
    """
    require(decide(actor, FabricAction.DESCRIBE_TEMPLATE))
    words = {
        "family": _text("family", family),
        "release": _text("release", release),
        "description": _text("description", description, 500),
    }
    with transaction.atomic():
        TemplateDisk.objects.filter(pk=template.pk).update(**words)
        template.refresh_from_db()
        _record(actor, template, "template:described", f"Described template disk {template}", words)
    return template


def retire_template(actor: Actor, *, template: TemplateDisk) -> TemplateDisk:
    """Stop new VMs from being made from the disk; existing VMs are not touched."""
    require(decide_template(actor, FabricAction.RETIRE_TEMPLATE, template))
    return _switch(actor, template, TemplateState.AVAILABLE, TemplateState.RETIRED, "template:retired", "Retired")


def unretire_template(actor: Actor, *, template: TemplateDisk) -> TemplateDisk:
    """Let new VMs be made from the disk again."""
    require(decide_template(actor, FabricAction.UNRETIRE_TEMPLATE, template))
    try:
        return _switch(
            actor, template, TemplateState.RETIRED, TemplateState.AVAILABLE, "template:unretired", "Brought back"
        )
    except IntegrityError as error:
        raise template_exists(template.name, template.version) from error


def _switch(
    actor: Actor, template: TemplateDisk, old: TemplateState, new: TemplateState, event: str, verb: str
) -> TemplateDisk:
    with transaction.atomic():
        if not TemplateDisk.objects.filter(pk=template.pk, state=old).update(state=new):
            raise Conflict("template-changed", "Somebody else has just changed this template disk.")
        _record(actor, template, event, f"{verb} template disk {template}")
    template.refresh_from_db()
    return template


def _record(
    actor: Actor, template: TemplateDisk, event: str, summary: str, more: Mapping[str, str] | None = None
) -> None:
    files = {"disk": template.disk_id, "catalog": template.catalog_id, "signer": template.signer_fingerprint}
    audit.record(
        actor, event, target_type="template-disk", target_id=template.id, summary=summary, scope="fabric",
        data={**files, **(more or {})},
    )  # fmt: skip


def _arriving(disk: Iterable[bytes] | library.Received) -> AbstractContextManager[library.Received]:
    return nullcontext(disk) if isinstance(disk, library.Received) else library.receive(disk, BlobKind.TEMPLATE_DISK)


def _text(name: str, value: str, longest: int = 64) -> str:
    value = " ".join(value.split())
    if len(value) > longest or not value.isprintable():
        sentence = f"Use at most {longest} characters that can be read."
        raise Invalid("template-text", f"The {name} is not usable. {sentence}", fields={name: sentence})
    return value


def template_exists(name: str, version: str) -> Conflict:
    """The refusal of an identity that is published and available already."""
    return Conflict(
        "template-exists",
        f"{name} {version} by this signer is published and available already.",
        "Retire it first, or sign the disk with a new version.",
    )
