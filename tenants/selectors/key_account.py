"""Reads of the account of keys, and who may read what of it.

Three rules, by what each entry would tell: an entry names hosts, times and virtual machines of the keys' owner.

- Of one VM: its tenant reads the entries that name both this VM and the owner in the VM's shielding data.
- Of an owner, everything, and the bundle: only an account that has proven that it holds the owner's key. Shielding data
  of that owner is no proof, because everybody who has a copy of the file can upload it.
- An owner whom neither shielding data nor a proof of the account names does not exist for it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from django.db.models import Count

from fabric import key_account
from fabric.key_account import LoggedEvent
from hgs.transparency.entry import KeyEvent
from portal.kernel.actor import Actor
from portal.kernel.errors import Denied, Invalid, NotFound
from portal.kernel.models import Job
from tenants.commands.virtual_machines import scope_of
from tenants.models import ProvenOwner, ShieldingData, Subscription, VirtualMachine

PAGE_LENGTH: Final = key_account.PAGE_LENGTH


@dataclass(frozen=True, slots=True)
class OwnerAccount:
    """An owner whose keys the account may ask about. `proof`: what opens all of it, None until it is given."""

    fingerprint: str
    name: str
    files: int
    proof: ProvenOwner | None

    @property
    def label(self) -> str:
        """What to call it: its name, which anybody can give a certificate, or how its fingerprint begins."""
        return self.name or self.fingerprint[:16]

    @property
    def is_open(self) -> bool:
        return self.proof is not None


class Whose(StrEnum):
    """Whether an entry's VM is one of the reader's."""

    YOURS = "yours"
    REMOVED = "removed"
    NOT_YOURS = "not-yours"
    UNNAMED = "unnamed"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry with the VM it names, as its reader knows it; `vm_name` is empty for one that is not the reader's."""

    index: int
    event: KeyEvent
    whose: Whose
    vm_name: str = ""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries, newest first. `before`: the index below which the next page goes on, None at the end."""

    entries: Sequence[Entry]
    before: int | None


def owner_accounts(actor: Actor) -> list[OwnerAccount]:
    """The owners that the actor's shielding data names, and those it has proven to be."""
    proofs = {proof.owner_fingerprint: proof for proof in ProvenOwner.objects.visible_to(actor)}
    named = {
        row["owner_fingerprint"]: row
        for row in ShieldingData.objects.visible_to(actor)
        .order_by("owner_fingerprint")
        .values("owner_fingerprint", "owner_name")
        .annotate(files=Count("pk"))
    }
    found = []
    for fingerprint in proofs.keys() | named.keys():
        row, proof = named.get(fingerprint), proofs.get(fingerprint)
        name = row["owner_name"] if row else proof.owner_name if proof else ""
        found.append(OwnerAccount(fingerprint, name, row["files"] if row else 0, proof))
    return sorted(found, key=lambda one: (one.name.casefold(), one.fingerprint))


def account_of(actor: Actor, owner: str) -> OwnerAccount:
    """One of them. Raises `NotFound`."""
    for account in owner_accounts(actor):
        if account.fingerprint == owner:
            return account
    raise NotFound("no-such-owner", "None of your shielding data names such an owner.")


def open_account(actor: Actor, owner: str) -> OwnerAccount:
    """One that the actor has proven to own. Raises `NotFound`, `Denied` (`owner-not-proven`)."""
    account = account_of(actor, owner)
    if not account.is_open:
        raise Denied(
            "owner-not-proven",
            "You have not proven that you hold this owner's key.",
            "Ask for a challenge and sign it on your own machine: gf audit prove-owner.",
        )
    return account


def entries_of_vm(actor: Actor, vm: VirtualMachine, before: int | None = None) -> EntryPage:
    """What happened to the keys of one of the actor's VMs. Raises `Unavailable`, `Conflict`."""
    return _page(actor, vm.owner_fingerprint, vm.pk, before)


def entries_of_owner(actor: Actor, owner: str, before: int | None = None, vm: UUID | None = None) -> EntryPage:
    """What happened to the keys of a proven owner. Raises `NotFound`, `Denied`, `Unavailable`, `Conflict`."""
    return _page(actor, open_account(actor, owner).fingerprint, vm, before)


def index_in(text: str | None, name: str) -> int | None:
    """A place in the key log, or its size, as an address gives it; None for nothing. Raises `Invalid`."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Invalid("log-index", f"{name} is a whole number.", fields={name: "Give a whole number."})
    return int(text)


def _page(actor: Actor, owner: str, vm: UUID | None, before: int | None) -> EntryPage:
    found = key_account.key_events(owner, vm=vm, before=before, limit=PAGE_LENGTH + 1)
    shown = found[:PAGE_LENGTH]
    return EntryPage(list(_marked(actor, shown)), shown[-1].index if len(found) > PAGE_LENGTH else None)


def _marked(actor: Actor, found: Sequence[LoggedEvent]) -> Iterable[Entry]:
    ids = {one.vm for one in found if one.vm is not None}
    names = dict(VirtualMachine.objects.visible_to(actor).filter(pk__in=ids).values_list("pk", "name"))
    removed = _removed(actor, ids - names.keys())
    for one in found:
        if one.vm is None:
            whose, name = Whose.UNNAMED, ""
        elif one.vm in names:
            whose, name = Whose.YOURS, names[one.vm]
        elif one.vm in removed:
            whose, name = Whose.REMOVED, removed[one.vm]
        else:
            whose, name = Whose.NOT_YOURS, ""
        yield Entry(one.index, one.event, whose, name)


def _removed(actor: Actor, ids: Iterable[UUID]) -> dict[UUID, str]:
    """Names of VMs that the actor once had: their rows are gone, their jobs stay."""
    scopes = [scope_of(pk) for pk in Subscription.objects.visible_to(actor).values_list("pk", flat=True)]
    jobs = Job.objects.filter(target_type="virtual-machine", target_id__in=[str(one) for one in ids], scope__in=scopes)
    return {UUID(target): name for target, name in jobs.values_list("target_id", "target_name")}
