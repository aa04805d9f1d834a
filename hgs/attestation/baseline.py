"""TPM baselines: how hosts of one hardware class boot, compared in the documentation's terms.

Compared are Secure Boot's state, the authorities that allowed boot programs to start, the revocation list (dbx), the
debug flags and custom Secure Boot policies. Registers themselves are not compared: a boot counter, a changed boot
entry or another disk must not break a fabric.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self

from hgs.attestation.efi import Authority
from hgs.attestation.errors import Malformed
from hgs.attestation.sipa import MeasuredBoot, SipaType, measured_boot
from hgs.attestation.tcglog import accept_reference_log, parse_log
from hgs.attestation.tpm import Algorithm


@dataclass(frozen=True)
class Baseline:
    """What a reference host's boot looks like. ``databases`` (SHA-256 of PK, KEK, db, …) is shown, not compared."""

    secure_boot: bool
    authorities: tuple[Authority, ...]
    dbx: tuple[str, ...]
    debug: bool
    custom_policies: tuple[str, ...]
    databases: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; ``from_json`` gives back an equal baseline."""
        return {
            "secure_boot": self.secure_boot,
            "authorities": [[item.variable, item.digest, item.description] for item in self.authorities],
            "dbx": list(self.dbx),
            "debug": self.debug,
            "custom_policies": list(self.custom_policies),
            "databases": dict(self.databases),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises :class:`Malformed` when a member is missing or of another type."""
        try:
            return cls(
                secure_boot=bool(value["secure_boot"]),
                authorities=tuple(Authority(str(a), str(b), str(c)) for a, b, c in value["authorities"]),
                dbx=tuple(str(item) for item in value["dbx"]),
                debug=bool(value["debug"]),
                custom_policies=tuple(str(item) for item in value["custom_policies"]),
                databases={str(k): str(v) for k, v in value["databases"].items()},
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise Malformed(f"This is not a stored baseline: {error}.") from error


class ChangeKind(StrEnum):
    """How a boot's item differs from a baseline's."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True)
class Difference:
    """One way in which a boot is not as a baseline has it.

    ``subject``: secure-boot, authority, dbx, debug or custom-policy. ``item``: what was added or removed, in full (an
    entry as in ``Baseline.dbx``, an authority as ``variable:SHA-256``), or the boot's value of what changed.
    """

    subject: str
    kind: ChangeKind
    item: str
    sentence: str


def baseline_of(boot: MeasuredBoot) -> Baseline:
    """The baseline that this boot would be."""
    facts = boot.secure_boot
    return Baseline(
        secure_boot=facts.enabled,
        authorities=_distinct(facts.authorities),
        dbx=facts.dbx,
        debug=boot.debugging,
        custom_policies=boot.custom_policies,
        databases=dict(facts.databases),
    )


def _distinct(authorities: Iterable[Authority]) -> tuple[Authority, ...]:
    found = {(item.variable, item.digest): item for item in authorities}
    return tuple(sorted(found.values()))


def boot_from_reference_log(data: bytes) -> MeasuredBoot:
    """Read a ``.tcglog`` file (the boot log of a reference host) by its SHA-256 bank.

    Raises ``Malformed``, ``TooLarge``, ``Unsupported`` (no SHA-256 bank), ``LogUnsafe``.
    """
    return measured_boot(accept_reference_log(parse_log(data), Algorithm.SHA256))


def baseline_from_log(data: bytes) -> Baseline:
    """The baseline of a ``.tcglog`` file. Raises as :func:`boot_from_reference_log`."""
    return baseline_of(boot_from_reference_log(data))


def reference_warnings(boot: MeasuredBoot) -> tuple[str, ...]:
    """What makes a boot a poor reference: the original's checks before it saves a baseline."""
    warnings = []
    if not boot.secure_boot.enabled:
        warnings.append("Secure Boot is off on the reference host.")
    if boot.debugging:
        warnings.append("A debugger is enabled on the reference host.")
    if not boot.always(SipaType.VBS_IOMMU_REQUIRED):
        warnings.append("DMA protection (IOMMU) is not required on the reference host.")
    if not boot.never_zero(SipaType.VSM_LAUNCH_TYPE):
        warnings.append("Virtualization-based security does not run on the reference host.")
    if not boot.ci_policies:
        warnings.append("No code-integrity policy is in force on the reference host.")
    return tuple(warnings)


def compare(baseline: Baseline, boot: MeasuredBoot, name: str = "") -> tuple[Difference, ...]:
    """Everything in which the boot differs from the baseline, each by itself; empty when it matches.

    ``name``: the baseline's, for the sentences.
    """
    return tuple(differences(baseline, baseline_of(boot), name))


def differences(baseline: Baseline, host: Baseline, name: str = "") -> Iterator[Difference]:
    """As :func:`compare`, one after another; ``host``: the baseline that the boot would be."""
    against = f"the baseline {name}" if name else "the baseline"
    yield from _switch("secure-boot", "Secure Boot", baseline.secure_boot, host.secure_boot, against)
    yield from _authorities(baseline.authorities, host.authorities, against)
    yield from _items("dbx", (baseline.dbx, host.dbx), against)
    yield from _switch("debug", "Debugging", baseline.debug, host.debug, against)
    yield from _items("custom-policy", (baseline.custom_policies, host.custom_policies), against)


def distance(baseline: Baseline, host: Baseline) -> int:
    """How many :func:`differences` there are, without wording them: a dbx may have thousands of entries."""
    return (
        (baseline.secure_boot != host.secure_boot)
        + (baseline.debug != host.debug)
        + _apart(baseline.authorities, host.authorities, lambda item: (item.variable, item.digest))
        + _apart(baseline.dbx, host.dbx)
        + _apart(baseline.custom_policies, host.custom_policies)
    )


def _apart(before: Sequence[Any], after: Sequence[Any], key: Callable[[Any], object] | None = None) -> int:
    """How many items only one side has; what ``key`` gives for them says which are the same."""
    if before == after:
        return 0
    old, new = (set(map(key, side) if key else side) for side in (before, after))
    return len(old ^ new)


_ADDED, _REMOVED = ChangeKind.ADDED, ChangeKind.REMOVED
_SENTENCES: Final = {
    ("authority", _REMOVED): "The authority {item} allowed no boot program any more",
    ("authority", _ADDED): "The new authority {item} allowed a boot program",
    ("dbx", _REMOVED): "The Secure Boot database dbx lost the entry {item}",
    ("dbx", _ADDED): "The Secure Boot database dbx gained the entry {item}",
    ("custom-policy", _REMOVED): "The custom Secure Boot policy {item} is gone",
    ("custom-policy", _ADDED): "The custom Secure Boot policy {item} is new",
}


def _switch(subject: str, title: str, before: bool, after: bool, against: str) -> Iterator[Difference]:
    if before != after:
        now, then = ("on", "off") if after else ("off", "on")
        yield Difference(subject, ChangeKind.CHANGED, now, f"{title} is {now}, compared with {then} in {against}.")


def _authorities(before: Iterable[Authority], after: Iterable[Authority], against: str) -> Iterator[Difference]:
    # People know an authority by the subject of its certificate; entries are the same when variable and digest are.
    old, new = ({f"{item.variable}:{item.digest}": item for item in side} for side in (before, after))
    for key in sorted(old.keys() ^ new.keys()):
        item, kind = (old[key], _REMOVED) if key in old else (new[key], _ADDED)
        shown = f"{item.description} ({item.variable}, sha256 {item.digest[:12]}…)"
        yield _one("authority", kind, key, shown, against)


def _items(subject: str, both: tuple[tuple[str, ...], tuple[str, ...]], against: str) -> Iterator[Difference]:
    before, after = both
    if before == after:
        return
    for kind, items in ((_REMOVED, set(before) - set(after)), (_ADDED, set(after) - set(before))):
        for item in sorted(items):
            yield _one(subject, kind, item, _shown(item), against)


def _one(subject: str, kind: ChangeKind, item: str, shown: str, against: str) -> Difference:
    sentence = _SENTENCES[subject, kind].format(item=shown)
    return Difference(subject, kind, item, f"{sentence}, compared with {against}.")


def _shown(item: str) -> str:
    """A stored entry for people: what it is, and as much of its digest as tells it from others.

    ``sha256:…`` and ``x509:…`` of a database, ``000b:options:…`` of a custom policy.
    """
    *kind, digest = item.split(":")
    short = f"sha256 {digest[:12]}…" if len(digest) > 12 else digest
    if kind == ["sha256"]:
        return short
    if kind == ["x509"]:
        return f"certificate {short}"
    return f"{short} ({', '.join(kind)})" if kind else short
