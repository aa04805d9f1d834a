"""What a code-integrity policy says after its header, as typed values.

Rules, signers and key usages refer to each other by position in their lists, as in the file. ``label`` and ``id`` are
names from the XML form; the binary has none, and they play no part in equality.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final
from uuid import UUID

from hgs.attestation.ci_policy.header import NO_VERSION, Version

NO_MINIMUM_HASH: Final = 0x800C
"""What a scenario without a least hash algorithm holds (the number of SHA-256)."""


class FileRuleKind(IntEnum):
    """An attribute rule allows nothing by itself: signers refer to it."""

    DENY = 0
    ALLOW = 1
    ATTRIBUTE = 2


class ScenarioValue(IntEnum):
    """Which code a scenario is about."""

    USER_MODE = 12
    KERNEL = 131


@dataclass(frozen=True)
class FileRule:
    """A rule about files. What is empty or zero is not asked for; ``hash`` is an Authenticode (or page) hash."""

    kind: FileRuleKind
    file_name: str = ""
    minimum_version: Version = NO_VERSION
    hash: bytes = b""
    maximum_version: Version = NO_VERSION
    app_ids: tuple[str, ...] = ()
    internal_name: str = ""
    description: str = ""
    product: str = ""
    package_family: str = ""
    package_version: Version = NO_VERSION
    path: str = ""
    label: str = field(default="", compare=False)
    id: str = field(default="", compare=False)


def rule_order(rule: FileRule) -> tuple[int | str | bytes, ...]:
    """Where converters put a rule: by kind, then by names without regard to case, then by hash."""
    names = (rule.file_name, rule.internal_name, rule.description, rule.product, rule.package_family, rule.path)
    return (int(rule.kind), *(name.upper() for name in names), rule.hash)


@dataclass(frozen=True)
class Signer:
    """Who may sign. ``tbs`` is the hash of a certificate's signed part; else ``well_known`` numbers a root.

    ``ekus`` and ``attributes`` are positions of key usages and of attribute rules; ``sign_time_after`` is a FILETIME,
    0 for none; ``except_ekus`` are key usages that a certificate must not have (format 11).
    """

    tbs: bytes = b""
    well_known: int | None = None
    ekus: tuple[int, ...] = ()
    issuer: str = ""
    publisher: str = ""
    oem_id: str = ""
    attributes: tuple[int, ...] = ()
    sign_time_after: int = 0
    except_ekus: tuple[int, ...] = ()
    artifacts: tuple[int, ...] = ()
    label: str = field(default="", compare=False)
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class SignerUse:
    """A signer in a group, and the file rules that are excepted: deny rules for an allowed signer, or the reverse."""

    signer: int
    exceptions: tuple[int, ...] = ()


@dataclass(frozen=True)
class SignerGroup:
    """Who and what is allowed and denied. ``rules`` are positions of file rules (of artifact rules in artifacts)."""

    allowed: tuple[SignerUse, ...] = ()
    denied: tuple[SignerUse, ...] = ()
    rules: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """The rules for one kind of code. ``inherited`` are positions of other scenarios; ``artifacts`` is format 10's."""

    value: int
    inherited: tuple[int, ...] = ()
    minimum_hash: int = NO_MINIMUM_HASH
    product: SignerGroup = SignerGroup()
    test: SignerGroup = SignerGroup()
    test_signing: SignerGroup = SignerGroup()
    artifacts: SignerGroup = SignerGroup()
    label: str = field(default="", compare=False)
    id: str = field(default="", compare=False)


@dataclass(frozen=True)
class SecureSetting:
    """A value for some component; its type decides how it is written."""

    provider: str
    key: str
    name: str
    value: bool | int | bytes | str


@dataclass(frozen=True)
class AppSetting:
    """A setting of an application (format 8). ``value``: bool, small number, text or several texts."""

    name: str
    value: bool | int | str | tuple[str, ...]
    flags: int = 0


@dataclass(frozen=True)
class App:
    """An application's settings; ``manifest`` is the id of the manifest that defines them."""

    manifest: str
    settings: tuple[AppSetting, ...] = ()


@dataclass(frozen=True)
class Hotpatch:
    """Format 9: rule ``base`` holds only with a hotpatch image of rule ``target`` of a sequence in the range."""

    base: int
    target: int
    minimum: int
    maximum: int


@dataclass(frozen=True)
class ArtifactRule:
    """Format 10: a rule about a disk image or catalog (``kind`` 0 or 1 in the file's own numbering)."""

    kind: int
    action: int
    name: str
    description: str
    minimum_version: Version
    maximum_version: Version
    hash: bytes


@dataclass(frozen=True)
class CiPolicyBody:
    """Everything after the header. ``policy_id`` and ``base_policy_id`` exist from format 6 on."""

    ekus: tuple[bytes, ...] = ()
    file_rules: tuple[FileRule, ...] = ()
    signers: tuple[Signer, ...] = ()
    update_signers: tuple[int, ...] = ()
    ci_signers: tuple[int, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    hvci_options: int = 0
    settings: tuple[SecureSetting, ...] = ()
    policy_id: UUID | None = None
    base_policy_id: UUID | None = None
    supplemental_signers: tuple[int, ...] = ()
    apps: tuple[App, ...] = ()
    hotpatches: tuple[Hotpatch, ...] = ()
    artifact_rules: tuple[ArtifactRule, ...] = ()

    def setting(self, provider: str, key: str, name: str) -> bool | int | bytes | str | None:
        """A secure setting's value, None where there is none."""
        wanted = (provider, key, name)
        return next((item.value for item in self.settings if (item.provider, item.key, item.name) == wanted), None)
