"""Publishing template disks and taking them out of use."""

from collections.abc import Callable, Iterable

from django.db import IntegrityError, transaction

from fabric import library
from fabric.models import BlobKind, TemplateDisk, TemplateState
from fabric.policy import FabricAction, decide, decide_template
from fabric.template_files import check_disk, read_catalog
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict
from portal.kernel.policy import require


def publish_template(
    actor: Actor,
    *,
    catalog: bytes,
    disk: Iterable[bytes],
    description: str = "",
    also: Callable[[TemplateDisk], None] = lambda _template: None,
) -> TemplateDisk:
    """Publish a signed disk. Its name, version and signer are read from the catalog; `disk` is streamed.

    `also` is done in the transaction that publishes; what it raises publishes nothing.

    Raises `Denied`, `Invalid` (catalog, disk, size) and `Conflict` (`template-exists`).
    """
    require(decide(actor, FabricAction.PUBLISH_TEMPLATE))
    identity = read_catalog(catalog)
    with (
        library.receive([catalog], BlobKind.CATALOG) as catalog_file,
        library.receive(disk, BlobKind.TEMPLATE_DISK) as disk_file,
    ):
        check_disk(disk_file.path)
        try:
            with transaction.atomic():
                template = TemplateDisk.objects.create(
                    name=identity.disk_name, version=identity.version, description=description[:500],
                    signer_fingerprint=identity.signer_fingerprint, signer_subject=identity.signer_subject,
                    catalog=library.keep(catalog_file), disk=library.keep(disk_file), published_by=actor.name,
                )  # fmt: skip
                _record(actor, template, "template:published", f"Published template disk {template}")
                also(template)
        except IntegrityError as error:
            raise _exists(identity.disk_name, identity.version) from error
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
        raise _exists(template.name, template.version) from error


def _switch(
    actor: Actor, template: TemplateDisk, old: TemplateState, new: TemplateState, event: str, verb: str
) -> TemplateDisk:
    with transaction.atomic():
        if not TemplateDisk.objects.filter(pk=template.pk, state=old).update(state=new):
            raise Conflict("template-changed", "Somebody else has just changed this template disk.")
        _record(actor, template, event, f"{verb} template disk {template}")
    template.refresh_from_db()
    return template


def _record(actor: Actor, template: TemplateDisk, event: str, summary: str) -> None:
    audit.record(
        actor, event, target_type="template-disk", target_id=template.id, summary=summary, scope="fabric",
        data={"disk": template.disk_id, "catalog": template.catalog_id, "signer": template.signer_fingerprint},
    )  # fmt: skip


def _exists(name: str, version: str) -> Conflict:
    return Conflict(
        "template-exists",
        f"{name} {version} by this signer is published and available already.",
        "Retire it first, or sign the disk with a new version.",
    )
