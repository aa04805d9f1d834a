"""TPM baselines: how hosts of one hardware class boot, compared in the documentation's terms.

Compared are Secure Boot's state, the authorities that allowed boot programs to start, the revocation list (dbx), the
debug flags and custom Secure Boot policies. Registers themselves are not compared: a boot counter, a changed boot
entry or another disk must not break a fabric.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

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


@dataclass(frozen=True)
class Difference:
    """One way in which a boot is not as a baseline has it.

    ``subject``: secure-boot, authority, dbx, debug or custom-policy.
    """

    subject: str
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


def compare(baseline: Baseline, boot: MeasuredBoot) -> tuple[Difference, ...]:
    """Everything in which the boot differs from the baseline; empty when it matches."""
    host = baseline_of(boot)
    differences: list[Difference] = []
    if host.secure_boot != baseline.secure_boot:
        now, then = ("on", "off") if host.secure_boot else ("off", "on")
        differences.append(Difference("secure-boot", f"Secure Boot is {now}, and {then} in the baseline"))
    ours = {(item.variable, item.digest): item for item in host.authorities}
    theirs = {(item.variable, item.digest): item for item in baseline.authorities}
    for key, item in sorted(ours.items()):
        if key not in theirs:
            differences.append(Difference("authority", f"a boot program was allowed by {_name(item)}, which is new"))
    for key, item in sorted(theirs.items()):
        if key not in ours:
            differences.append(Difference("authority", f"no boot program was allowed by {_name(item)} any more"))
    differences += _entries("dbx", "the revocation list dbx", baseline.dbx, host.dbx)
    if host.debug != baseline.debug:
        differences.append(Difference("debug", f"debugging is {'on' if host.debug else 'off'}, unlike in the baseline"))
    differences += _entries(
        "custom-policy", "the custom Secure Boot policies", baseline.custom_policies, host.custom_policies
    )
    return tuple(differences)


def _name(authority: Authority) -> str:
    return f"{authority.description} ({authority.variable}, sha256 {authority.digest[:12]}…)"


def _entries(subject: str, title: str, before: Iterable[str], after: Iterable[str]) -> list[Difference]:
    lost, gained = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    return [
        Difference(
            subject, f"{title} {verb} {len(items)} {'entry' if len(items) == 1 else 'entries'} ({_shorten(items[0])})"
        )
        for verb, items in (("lost", lost), ("gained", gained))
        if items
    ]


def _shorten(entry: str) -> str:
    kind, _, digest = entry.rpartition(":")
    return f"{kind} {digest[:12]}…" if len(digest) > 12 else entry
