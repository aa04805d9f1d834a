"""Uploading, describing and removing shielding data files."""

import re
from collections.abc import Iterable

from django.db import IntegrityError, transaction

from fabric import library
from fabric.commands.uploads import drop
from fabric.models import BlobKind, Upload
from fabric.partial_files import gone
from fabric.selectors.guardian import known_guardian
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Conflict, Invalid
from portal.kernel.policy import require
from tenants.commands.virtual_machines import scope_of
from tenants.models import ShieldingData, Subscription
from tenants.pdk_file import PdkFacts, joined_pairs, read_pdk
from tenants.policy import decide_create, decide_describe_shielding_data, decide_remove_shielding_data

_NAME = re.compile(r"[\w](?:[\w .()+-]{0,61}[\w)])?")


def upload_shielding_data(
    actor: Actor, *, subscription: Subscription, name: str, file: Iterable[bytes], description: str = ""
) -> ShieldingData:
    """Keep a shielding data file whose signatures hold and that this fabric's HGS can open.

    Raises `Denied`, `Invalid` (`shielding-data-name`, `shielding-data-invalid`, `file-too-large`, `wrong-guardian`) and
    `Conflict` (`shielding-data-name-taken`).
    """
    require(decide_create(actor, subscription))
    name = _checked_name(name)
    with library.receive(file, BlobKind.SHIELDING_DATA) as received:
        facts = read_pdk(received.path.read_bytes())
        _check_guardian(facts)
        try:
            with transaction.atomic():
                data = ShieldingData.objects.create(
                    subscription=subscription, name=name, description=description[:500], blob=library.keep(received),
                    kind=facts.kind.value, substitution_strings=facts.substitution_strings,
                    escrows_recovery_key=facts.escrows_recovery_key, policy=facts.policy,
                    owner_name=facts.owner_name, owner_fingerprint=facts.owner_fingerprint,
                    guardians=facts.guardians, guardian_pairs=joined_pairs(facts.guardians),
                    qualifiers=facts.qualifiers, uploaded_by=actor.name,
                )  # fmt: skip
                _record(actor, data, "shielding-data:uploaded", f"Uploaded shielding data {name}")
        except IntegrityError as error:
            raise _name_taken(name) from error
    return data


def keep_uploaded_shielding_data(
    actor: Actor, *, subscription: Subscription, name: str, upload: Upload, description: str = ""
) -> ShieldingData:
    """The same with a file that was sent in parts. Where it is refused, what was sent stays for another try.

    Raises also `NotFound` (`upload-gone`).
    """
    try:
        file = [upload.path.read_bytes()]
    except FileNotFoundError as error:  # the same form, sent twice
        raise gone() from error
    data = upload_shielding_data(actor, subscription=subscription, name=name, file=file, description=description)
    drop(upload)
    return data


def describe_shielding_data(actor: Actor, *, data: ShieldingData, name: str, description: str) -> ShieldingData:
    """Call a file otherwise; what its owner signed is not touched.

    Raises `Denied`, `Invalid` (`shielding-data-name`), `Conflict` (`shielding-data-name-taken`).
    """
    require(decide_describe_shielding_data(actor, data))
    name = _checked_name(name)
    try:
        with transaction.atomic():
            ShieldingData.objects.filter(pk=data.pk).update(name=name, description=description[:500])
            data.refresh_from_db(fields=["name", "description"])
            _record(actor, data, "shielding-data:described", f"Described shielding data {name}")
    except IntegrityError as error:
        raise _name_taken(name) from error
    return data


def remove_shielding_data(actor: Actor, *, data: ShieldingData) -> None:
    """Remove a file that no VM is made from. Raises `Denied`, `Conflict` (`shielding-data-in-use`)."""
    with transaction.atomic():
        Subscription.objects.select_for_update().get(pk=data.subscription_id)
        require(decide_remove_shielding_data(actor, data))
        _record(actor, data, "shielding-data:removed", f"Removed shielding data {data.name}")
        blob_id = data.blob_id
        data.delete()
        transaction.on_commit(lambda: library.drop_if_unused(blob_id))


def _checked_name(name: str) -> str:
    name = name.strip()
    if not _NAME.fullmatch(name):
        sentence = "Use 1 to 63 letters, digits, spaces, dots, hyphens or underscores; begin with a letter or digit."
        raise Invalid("shielding-data-name", sentence, fields={"name": sentence})
    return name


def _name_taken(name: str) -> Conflict:
    return Conflict(
        "shielding-data-name-taken", f"There is shielding data named {name} already.", "Choose another name."
    )


def _check_guardian(facts: PdkFacts) -> None:
    """Refuse a file that this fabric's HGS cannot open. While HGS is away nothing is said: hosts find out in time."""
    guardian = known_guardian()
    if guardian is None:
        return
    if not guardian.signing_fingerprints & {named["fingerprint"] for named in facts.guardians}:
        names = ", ".join(named["name"] or named["fingerprint"][:16] for named in facts.guardians) or "nobody"
        raise Invalid(
            "wrong-guardian",
            f"This shielding data is for another guardian ({names}): no host of this fabric could open it.",
            "Download this fabric's guardian, make the file anew with it, and upload that.",
            fields={"file": f"Made for another guardian: {names}."},
        )


def _record(actor: Actor, data: ShieldingData, event: str, summary: str) -> None:
    audit.record(
        actor, event, target_type="shielding-data", target_id=data.pk, summary=summary,
        scope=scope_of(data.subscription_id), data={"sha256": data.blob_id, "owner": data.owner_fingerprint},
    )  # fmt: skip
