"""Which template disks a shielding data file fits: its volume ID qualifiers against each template's identity."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fabric.models import TemplateDisk
from fabric.shielding.pdk import PdkType
from fabric.shielding.purpose import decide_for_template
from fabric.shielding.viq import Refused, VersionRule, VolumeIdQualifier, parse_version
from tenants.models import ShieldingData


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether one template disk may be used with a shielding data file, and if not, why."""

    template: TemplateDisk
    fits: bool
    reason: str


@dataclass(frozen=True, slots=True)
class _Identity:
    """A template's row as qualifiers compare it; its host compares the catalog itself again."""

    disk_name: str
    version: str
    signer_fingerprint: bytes


def to_json(qualifier: VolumeIdQualifier) -> dict[str, str]:
    """A qualifier as `ShieldingData.qualifiers` keeps it."""
    return {
        "disk_name": qualifier.disk_name,
        "signer_fingerprint": qualifier.signer_fingerprint.hex(),
        "version": qualifier.version,
        "rule": qualifier.rule.value,
    }


def qualifiers_of(data: ShieldingData) -> tuple[VolumeIdQualifier, ...]:
    """The file's qualifiers, as kept when it was uploaded."""
    return tuple(
        VolumeIdQualifier(
            disk_name=kept["disk_name"],
            signer_fingerprint=bytes.fromhex(kept["signer_fingerprint"]),
            version=kept["version"],
            rule=VersionRule(kept["rule"]),
        )
        for kept in data.qualifiers
    )


_RULES = {
    VersionRule.EQUALS: "exactly {}",
    VersionRule.GREATER_THAN: "newer than {}",
    VersionRule.GREATER_THAN_OR_EQUALS: "{} or newer",
}


def words_of(qualifier: VolumeIdQualifier) -> str:
    """A qualifier in a few words; its signer is on the file's page."""
    return f"{qualifier.disk_name}, {_RULES[qualifier.rule].format(qualifier.version)}"


def fit(data: ShieldingData, template: TemplateDisk) -> Fit:
    """Whether the file's owner trusts this template, and if not, the reason that came closest."""
    identity = _Identity(template.name, template.version, bytes.fromhex(template.signer_fingerprint))
    answer = decide_for_template(PdkType(data.kind), qualifiers_of(data), identity)
    return Fit(template, not isinstance(answer, Refused), answer.reason if isinstance(answer, Refused) else "")


def fits(data: ShieldingData, templates: Iterable[TemplateDisk]) -> Sequence[Fit]:
    """The answer for each template, fitting ones first."""
    return sorted((fit(data, template) for template in templates), key=lambda each: not each.fits)


def files_by_subscription(template: TemplateDisk) -> dict[str, int]:
    """How many shielding data files of each subscription, by its name, trust a template disk."""
    files = ShieldingData.objects.only("qualifiers", "subscription__name").select_related("subscription")
    return dict(Counter(data.subscription.name for data in files.iterator() if fit(data, template).fits))


def newest_fitting(data: ShieldingData) -> TemplateDisk | None:
    """The template on offer that fits: the highest version, then the one published last."""
    offered = TemplateDisk.objects.on_offer().order_by("-published_at")
    candidates = [template for template in offered if fit(data, template).fits]
    return max(candidates, key=lambda template: parse_version(template.version), default=None)
