"""A host with a software TPM, a tenant, an HGS in this process, and two templates: a small one that is quick to
provision but cannot boot, and a real one that is built once and shared by all test processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.x509.oid import NameOID

from fabric.disks.catalog import SignedCatalog, parse_catalog
from fabric.hyperv.spec import GuestNetwork, VmSpec
from fabric.hyperv.swtpm import SoftwareTpm
from fabric.hyperv.tpm import HostTpmAccess, open_tpm, start_up
from fabric.hyperv.virtual_machines import VirtualMachines
from fabric.publishing import signing, signing_keys
from fabric.publishing.certificates import write_signing_certificate
from fabric.publishing.debian_template import DebianChoice, build_debian_template
from fabric.publishing.template_builder import BuiltTemplate, build_template
from fabric.shielding.answerfile import default_linux_answer_file
from fabric.shielding.content import AUTHORIZED_KEYS, SSH_HOST_KEY, ShieldingSecrets
from fabric.shielding.pdk import Policy, write_pdk
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.guardian import Guardian, GuardianKeys, create_guardian_keys
from hgs.keyprotection.release import release_keys
from hgs.keyprotection.secret import Secret
from hgs.wire.kps import parse_request, serialise_response
from tests.fabric.template_disks import small_disk

ROOT = Path(__file__).resolve().parents[4]
CANARY = b"canary-4f1d2c7a9be0"
MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Template:
    """A signed template disk (raw and VHDX) with its catalog."""

    raw: Path
    vhdx: Path
    catalog: Path

    @property
    def signed(self) -> SignedCatalog:
        return parse_catalog(self.catalog.read_bytes()).verify()


def sign(folder: Path, raw: Path, boot_certificate: Path) -> Template:
    write_signing_certificate("Publisher", folder / "publisher")
    signer = signing_keys.from_pem(folder / "publisher/signing.pem", folder / "publisher/signing.key")
    made = Template(raw, folder / "template.vhdx", folder / "template.vsc")
    boot = signing_keys.load_certificate(boot_certificate)
    signing.sign_template(signing.ToSign(raw, "Guarded Linux", "1.0.0.0", signer, boot, made.catalog, made.vhdx))
    return made


@pytest.fixture(scope="session")
def small_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A template of the real shape whose kernel is a few bytes."""
    folder = tmp_path_factory.mktemp("small-template")
    return sign(folder, small_disk(folder), folder / "boot-certificate.pem")


@pytest.fixture(scope="session")
def real_template() -> Template:
    """The template that `gf template build` makes, signed; rebuilt only when what makes it changes."""
    return kept_template("small", lambda folder: build_template(folder, ROOT / "var/cache"))


@pytest.fixture(scope="session")
def debian_template() -> Template:
    """The template that `gf template build-linux` makes, signed and kept likewise."""
    return kept_template("debian", lambda folder: build_debian_template(folder, ROOT / "var/cache", DebianChoice()))


def kept_template(kind: str, build: Callable[[Path], BuiltTemplate]) -> Template:
    """What `build` makes in the folder it is given, signed, or the same from an earlier run."""
    sources = sorted((ROOT / "fabric/publishing").rglob("*"))
    content = b"".join(path.read_bytes() for path in sources if path.is_file() and path.suffix != ".pyc")
    folder = ROOT / "var/cache/test-templates" / f"{kind}-{hashlib.sha256(content).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = Template(folder / "template.raw", folder / "template.vhdx", folder / "template.vsc")
        if not made.catalog.exists():
            built = build(folder)
            sign(folder / uuid.uuid4().hex, built.disk, built.boot_certificate)
            finished = next(folder.glob("*/template.vsc")).parent
            for name in ("template.vhdx", "template.vsc"):
                (finished / name).rename(folder / name)
            for older in set(folder.parent.glob(f"{kind}-*")) - {folder}:
                shutil.rmtree(older, ignore_errors=True)
    return made


@dataclass(frozen=True)
class Tenant:
    """An owner with the keys of a VM's SSH."""

    owner: GuardianKeys
    guardian: GuardianKeys
    host_key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    user_key: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)

    def pdk(self, path: Path, catalog: SignedCatalog, name: str = "Guarded Linux", version: str = "1.0.0.0") -> Path:
        return self.pdk_for(path, catalog, [self.guardian.guardian], name, version)

    def pdk_for(
        self,
        path: Path,
        catalog: SignedCatalog,
        guardians: Sequence[Guardian],
        name: str = "Guarded Linux",
        version: str = "1.0.0.0",
    ) -> Path:
        """Shielding data that these guardians may open."""
        qualifier = VolumeIdQualifier(name, catalog.signer_fingerprint, version, VersionRule.EQUALS)
        answers = default_linux_answer_file("$6$saltsalt$" + "a" * 86)
        files = {
            SSH_HOST_KEY: Secret(open_ssh(self.host_key)),
            AUTHORIZED_KEYS: Secret(public_line(self.user_key) + b"\n"),
            "canary.txt": Secret(CANARY),
        }
        secrets = ShieldingSecrets(Secret(answers.encode()), files)
        path.write_bytes(write_pdk(self.owner, guardians, Policy.SHIELDED, [qualifier], secrets, os.urandom))
        return path


def open_ssh(key: ed25519.Ed25519PrivateKey) -> bytes:
    form = serialization.PrivateFormat.OpenSSH
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def public_line(key: ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)


@pytest.fixture(scope="session")
def guardian() -> GuardianKeys:
    return create_guardian_keys("HGS", datetime.now(UTC), key_size=2048)


@pytest.fixture(scope="session")
def tenant(guardian: GuardianKeys) -> Tenant:
    return Tenant(create_guardian_keys("Owner", datetime.now(UTC), key_size=2048), guardian)


@dataclass(frozen=True)
class Host:
    """A host that HGS trusts: its TPM and the health certificate of its identity key."""

    access: HostTpmAccess
    certificate: bytes
    release: Callable[[bytes], bytes]

    def machines(self, folder: Path, hypervisor: str) -> VirtualMachines:
        return VirtualMachines(folder, self.access, lambda _vm_id: self.release, hypervisor)


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory, guardian: GuardianKeys) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    tpm = SoftwareTpm(folder / "tpm")
    tpm.manufacture(folder / "ca", "host")
    tpm.switch_on()
    try:
        access = HostTpmAccess(tpm.tcti, folder / "tpm.lock", folder / "identity-key.bin")
        start_up(access.tcti, access.lock, 0)
        with open_tpm(access.tcti, access.lock) as session:
            blob = session.create_identity_key()
        access.identity_key.write_bytes(blob.serialise())
        modulus = int.from_bytes(blob.public_area[-256:], "big")
        public = rsa.RSAPublicNumbers(65537, modulus).public_key()

        def release(request: bytes) -> bytes:
            return serialise_response(release_keys(parse_request(request), public, [guardian], os.urandom))

        yield Host(access, health_certificate(public), release)
    finally:
        tpm.switch_off()


def health_certificate(public: rsa.RSAPublicKey) -> bytes:
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "health")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, public, x509.random_serial_number(), now, now + timedelta(hours=8))
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.fixture
def spec() -> VmSpec:
    return new_spec()


def new_spec(port: int = 22022) -> VmSpec:
    values = {
        "@ComputerName@": "web01",
        "@TimeZone@": "Europe/Berlin",
        "@IP4Addr-1@": "10.20.0.10/24",
        "@NextHop-1-1@": "10.20.0.1",
        "@DnsAddr-1-1@": "10.20.0.3",
    }
    network = GuestNetwork("10.20.0.0/24", "10.20.0.10", "10.20.0.1", "10.20.0.3")
    return VmSpec(str(uuid.uuid4()), "web01", 1, 256, values, network, port, "0" * 64, "1" * 64, "2" * 64)


def quiet(step: str, percent: int, message: str) -> None:
    """Progress nobody listens to."""
