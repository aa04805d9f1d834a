"""Boot logs for tests: a healthy host, and the ways in which one is not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import rsa

from hgs.attestation.baseline import baseline_of
from hgs.attestation.ci_policy import build_ci_policy, parse_ci_policy
from hgs.attestation.efi import (
    CERT_SHA256,
    EFI_GLOBAL,
    IMAGE_SECURITY_DATABASE,
    EfiVariable,
    signature_list,
)
from hgs.attestation.policies import NamedBaseline, NamedDigest, PolicySet, evaluate_policies
from hgs.attestation.sipa import (
    MeasuredBoot,
    SipaType,
    SiPolicyInfo,
    VsmKey,
    encode_boolean,
    encode_container,
    encode_custom_policy,
    encode_number,
    encode_tlv,
    measured_boot,
)
from hgs.attestation.tcglog import (
    EV_EFI_VARIABLE_AUTHORITY,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_EVENT_TAG,
    EV_S_CRTM_VERSION,
    EV_SEPARATOR,
    EventLogBuilder,
    accept_reference_log,
)
from hgs.attestation.verdict import CheckResult

OWNER = UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b")
CI_POLICY = build_ci_policy("Hosts 2026", (10, 0, 0, 0))
CI_DIGEST = parse_ci_policy(CI_POLICY).digest
REVOKED = (b"\x01" * 32, b"\x02" * 32)


@dataclass(frozen=True)
class Boot:
    """What a host measures. ``extra_settings``: further SIPA records in PCR 12, after the usual ones; ``modules``: in
    PCR 13; ``firmware``: register, type and data of further events of the firmware.
    """

    identity: rsa.RSAPublicKey | None = None
    signing: Sequence[rsa.RSAPublicKey] = ()
    secure_boot: bytes = b"\x01"
    revoked: Sequence[bytes] = REVOKED
    authority: bytes = b"a production certificate"
    ci_digests: Sequence[str] = (CI_DIGEST,)
    transfers: Sequence[int] = (1, 5)
    debug: bool = False
    iommu: bool = True
    dumps_disabled: bool = True
    dump_encryption: bool = False
    markers: Sequence[int] = (12, 13, 14)
    locality: int | None = None
    boot_counter: int = 1
    custom_policy: bytes = b"\x05" * 32
    extra_settings: Sequence[bytes] = ()
    modules: Sequence[bytes] = ()
    firmware: Sequence[tuple[int, int, bytes]] = ()
    after_markers: Sequence[tuple[int, int, bytes]] = ()

    def log(self) -> EventLogBuilder:
        """The log, as a builder: it also says what to extend."""
        log = EventLogBuilder(locality=self.locality)
        log.measure(0, EV_S_CRTM_VERSION, b"firmware 1.0")
        for pcr, kind, data in self.firmware:
            log.measure(pcr, kind, data)
        self._firmware(log)
        for transfer in self.transfers:
            log.measure(12, EV_EVENT_TAG, self._settings(transfer))
        for record in self.extra_settings:
            log.measure(12, EV_EVENT_TAG, record)
        log.measure(13, EV_EVENT_TAG, self._details())
        log.measure(14, EV_EVENT_TAG, encode_tlv(SipaType.AUTHORITY_PUBLIC_KEY, b"key"))
        if self.identity is not None:
            log.measure(12, EV_EVENT_TAG, identity_record(self.identity))
        for key in self.signing:
            log.measure(12, EV_EVENT_TAG, identity_record(key, SipaType.VSM_IDKS_INFO))
        for pcr in self.markers:
            log.measure(pcr, EV_SEPARATOR, b"WBCL")
        for pcr, kind, data in self.after_markers:
            log.measure(pcr, kind, data)
        return log

    def _firmware(self, log: EventLogBuilder) -> None:
        dbx = signature_list(CERT_SHA256, OWNER, list(self.revoked)) if self.revoked else b""
        for guid, name, data in (
            (EFI_GLOBAL, "SecureBoot", self.secure_boot),
            (EFI_GLOBAL, "PK", b"platform key"),
            (EFI_GLOBAL, "KEK", b"exchange key"),
            (IMAGE_SECURITY_DATABASE, "db", b"database"),
            (IMAGE_SECURITY_DATABASE, "dbx", dbx),
        ):
            log.measure(7, EV_EFI_VARIABLE_DRIVER_CONFIG, EfiVariable(guid, name, data).serialise())
        log.separators()
        entry = OWNER.bytes_le + self.authority
        variable = EfiVariable(IMAGE_SECURITY_DATABASE, "db", entry)
        log.measure(7, EV_EFI_VARIABLE_AUTHORITY, variable.serialise())

    def _settings(self, transfer: int) -> bytes:
        return encode_container(
            SipaType.TRUST_BOUNDARY,
            encode_number(SipaType.BOOT_COUNTER, self.boot_counter),
            encode_number(SipaType.TRANSFER_CONTROL, transfer),
            encode_boolean(SipaType.BOOT_DEBUGGING, self.debug),
            encode_boolean(SipaType.OS_KERNEL_DEBUG, False),
            encode_boolean(SipaType.HYPERVISOR_DEBUG, False),
            encode_number(SipaType.HYPERVISOR_LAUNCH_TYPE, 1),
            encode_number(SipaType.VSM_LAUNCH_TYPE, 1),
            encode_boolean(SipaType.VBS_IOMMU_REQUIRED, self.iommu),
            encode_number(SipaType.VBS_HVCI_POLICY, 1),
            encode_boolean(SipaType.PAGEFILE_ENCRYPTION_ENABLED, True),
            encode_boolean(SipaType.HIBERNATION_DISABLED, True),
            encode_boolean(SipaType.DUMPS_DISABLED, self.dumps_disabled),
            encode_boolean(SipaType.DUMP_ENCRYPTION_ENABLED, self.dump_encryption),
        )

    def _details(self) -> bytes:
        policies = [
            SiPolicyInfo("SiPolicy.p7b", (10, 0, 0, 0), 0x000B, bytes.fromhex(digest)) for digest in self.ci_digests
        ]
        records = [encode_tlv(SipaType.SI_POLICY, policy.serialise()) for policy in policies]
        return encode_container(
            SipaType.TRUST_BOUNDARY, encode_custom_policy(self.custom_policy), *records, *self.modules
        )


def identity_record(key: rsa.RSAPublicKey, kind: SipaType = SipaType.VSM_IDK_INFO) -> bytes:
    """VSM_IDK_INFO (or VSM_IDKS_INFO) of a key."""
    numbers = key.public_numbers()
    return encode_tlv(kind, VsmKey(numbers.n, numbers.e).serialise())


def facts(boot: Boot) -> MeasuredBoot:
    """What the boot's log says, taken at its word."""
    return measured_boot(accept_reference_log(boot.log().build()))


def registered(reference: Boot, **changes: Any) -> PolicySet:
    """An HGS's policies with the reference boot as baseline and the usual CI policy."""
    baseline = baseline_of(facts(reference))
    named = NamedBaseline("Acme R1", baseline)
    policies = PolicySet(baselines=(named,), ci_policies=(NamedDigest("Hosts", CI_DIGEST),))
    return replace(policies, **changes)


def judge(boot: Boot, policies: PolicySet, code: str) -> CheckResult:
    """One policy's result for a boot."""
    return next(check for check in evaluate_policies(facts(boot), policies) if check.code == code)
