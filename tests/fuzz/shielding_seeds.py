"""Seeds for what a tenant makes: shielding data, recovery keys, answer files and a file of choices."""

from fabric.shielding.content import serialise_content
from fabric.shielding.linux_answers import LinuxAnswers, linux_answer_file
from fabric.shielding.pdk import PdkType, Policy, RecoveryKey, ShieldingSecrets, write_pdk
from fabric.shielding.specialization import serialise_specialization_keys
from fabric.shielding.unattend import DomainJoin, WindowsAnswers, windows_answer_file
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.secret import Secret
from tenants.cli.pdk.choices import Choices, TrustedDisk
from tenants.cli.pdk.choices_file import write_choices
from tests.fabric.shielding import test_pdk, test_recovery
from tests.fabric.shielding.test_answerfile import HASH, VALUES
from tests.fabric.shielding.test_pdk_versions import first_version
from tests.fuzz.answer_files import BASE
from tests.hgs.keyprotection.guardians import counted_random, lab, owner

Seeds = dict[str, bytes]


def shielding_data() -> Seeds:
    existing = write_pdk(
        owner(), [lab().guardian], Policy.ENCRYPTION_SUPPORTED, [], ShieldingSecrets(Secret(b"")),
        counted_random("fuzz"), kind=PdkType.FOR_EXISTING_VMS, recovery_key=RecoveryKey.NONE,
    )  # fmt: skip
    return {
        "version-1": first_version(),
        "version-2": test_pdk.document(),
        "existing-vms": existing,
        "content": serialise_content(ShieldingSecrets(test_pdk.ANSWER, test_pdk.FILES)).reveal(),
        "specialization-keys": serialise_specialization_keys(VALUES),
    }


def recovery_keys() -> Seeds:
    return {"escrow": test_recovery.document()}


def answer_files() -> Seeds:
    join = DomainJoin("contoso.com", "joiner", Secret(b"password"))
    windows = WindowsAnswers(
        administrator_password=Secret(b"password"), domain=join, locale="de-DE", static_addresses=frozenset({4, 6})
    )
    linux = LinuxAnswers(password_hash=HASH, locale="de_DE.UTF-8", static_addresses=frozenset({4, 6}))
    disk = VolumeIdQualifier("Debian 12", bytes(32), "1.0.0.0", VersionRule.EQUALS)
    choices = Choices(
        owner=BASE / "owner.guardian", guardians=("lab",), policy="shielded", escrow_recovery_key=True,
        trusted_disks=(TrustedDisk(BASE / "x.vsc"), TrustedDisk(qualifier=disk)), files=(("a", BASE / "b"),),
    )  # fmt: skip
    return {
        "linux": linux_answer_file(linux).encode(),
        "windows": windows_answer_file(windows).reveal(),
        "choices": write_choices(choices, BASE).encode(),
    }
