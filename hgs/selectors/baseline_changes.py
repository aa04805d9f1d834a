"""What tells one baseline from another, entry by entry, in words for the person who decides about it."""

from collections.abc import Iterable
from dataclasses import dataclass

from hgs.attestation.baseline import Baseline as Measured
from hgs.attestation.efi import Authority


@dataclass(frozen=True)
class Change:
    """One difference. ``kind``: added, removed or changed. ``entries`` are all of its items, in full.

    ``weakens``: with it hosts pass that would better not; the reader should look twice.
    """

    kind: str
    subject: str
    sentence: str
    entries: tuple[str, ...] = ()
    weakens: bool = False


def compare_baselines(before: Measured, after: Measured) -> tuple[Change, ...]:
    """Everything in which ``after`` differs from ``before``; empty for the same baseline."""
    return (
        *_secure_boot(before, after),
        *_debugging(before, after),
        *_authorities(before, after),
        *_revocations(before, after),
        *_custom_policies(before, after),
        *_databases(before, after),
    )


def distance(before: Measured, after: Measured) -> int:
    """How far two baselines are apart: the number of single entries that differ. What is only shown counts little."""
    changes = compare_baselines(before, after)
    return sum(1 if change.subject == "Databases" else 10 * max(1, len(change.entries)) for change in changes)


def _secure_boot(before: Measured, after: Measured) -> Iterable[Change]:
    if before.secure_boot != after.secure_boot:
        state = "on" if after.secure_boot else "off"
        yield Change("changed", "Secure Boot", f"Secure Boot is {state}.", weakens=not after.secure_boot)


def _debugging(before: Measured, after: Measured) -> Iterable[Change]:
    if before.debug != after.debug:
        yield Change("changed", "Debugging", f"Debugging is {'on' if after.debug else 'off'}.", weakens=after.debug)


def _authorities(before: Measured, after: Measured) -> Iterable[Change]:
    old, new = set(before.authorities), set(after.authorities)
    known, now = {(item.variable, item.digest) for item in old}, {(item.variable, item.digest) for item in new}
    added = tuple(_authority(item) for item in sorted(new) if (item.variable, item.digest) not in known)
    removed = tuple(_authority(item) for item in sorted(old) if (item.variable, item.digest) not in now)
    if added:
        yield Change("added", "Authorities", f"Boot programs allowed by {_count(added, 'new authority')}.", added, True)
    if removed:
        yield Change("removed", "Authorities", f"No boot program allowed by {_count(removed, 'authority')}.", removed)


def _authority(item: Authority) -> str:
    return f"{item.description} ({item.variable}, sha256 {item.digest})"


def _revocations(before: Measured, after: Measured) -> Iterable[Change]:
    removed, added = _entries(before.dbx, after.dbx), _entries(after.dbx, before.dbx)
    if removed:
        sentence = f"The revocation list dbx lost {_count(removed, 'entry')}: what they forbid may start again."
        yield Change("removed", "Revocation list (dbx)", sentence, removed, True)
    if added:
        yield Change(
            "added", "Revocation list (dbx)", f"The revocation list dbx gained {_count(added, 'entry')}.", added
        )


def _custom_policies(before: Measured, after: Measured) -> Iterable[Change]:
    removed = _entries(before.custom_policies, after.custom_policies)
    added = _entries(after.custom_policies, before.custom_policies)
    if added:
        sentence = f"{_count(added, 'custom Secure Boot policy')} more."
        yield Change("added", "Custom Secure Boot policies", sentence, added, True)
    if removed:
        sentence = f"{_count(removed, 'custom Secure Boot policy')} fewer."
        yield Change("removed", "Custom Secure Boot policies", sentence, removed)


def _databases(before: Measured, after: Measured) -> Iterable[Change]:
    none = "not measured"
    changed = tuple(
        f"{name}: sha256 {before.databases.get(name, none)} became {after.databases.get(name, none)}"
        for name in sorted(set(before.databases) | set(after.databases))
        if before.databases.get(name) != after.databases.get(name)
    )
    if changed:
        sentence = "Databases of the firmware changed. They are shown, not compared: what a boot used of them is above."
        yield Change("changed", "Databases", sentence, changed)


def _entries(these: Iterable[str], without: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(these) - set(without)))


def _count(items: tuple[str, ...], noun: str) -> str:
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{len(items)} {noun if len(items) == 1 else many}"
