"""Making a VM from a full template, beside tools that only encrypt: time, and memory while doing so."""

import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fabric.disks.catalog import SignedCatalog
from fabric.hyperv.local_guardian import keep_local_guardian
from fabric.hyperv.spec import GuestNetwork, VmSpec
from fabric.hyperv.tpm import HostTpmAccess
from fabric.hyperv.virtual_machines import VirtualMachines
from fabric.publishing import signing, signing_keys
from fabric.publishing.certificates import write_signing_certificate
from fabric.shielding.answerfile import default_linux_answer_file
from fabric.shielding.content import ShieldingSecrets
from fabric.shielding.pdk import Policy, write_pdk
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.guardian import create_guardian_keys
from hgs.keyprotection.secret import Secret

_VALUES = {
    "@ComputerName@": "web01",
    "@TimeZone@": "Europe/Berlin",
    "@IP4Addr-1@": "10.20.0.10/24",
    "@NextHop-1-1@": "10.20.0.1",
    "@DnsAddr-1-1@": "10.20.0.3",
}
_NETWORK = GuestNetwork("10.20.0.0/24", "10.20.0.10", "10.20.0.1", "10.20.0.3")
_PAUSE = 0.02
_TRIES = 3


class ToolFailedError(Exception):
    """What a tool beside which we are measured said when it gave up."""


@dataclass
class Run:
    """Seconds from the order to the VM that is ready to start, and when each step began."""

    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)

    @property
    def disk_seconds(self) -> float:
        """From the order's first step to the last of the VM's disk that is written, before its own settings are."""
        return self.steps["specialise"] - self.steps["release-keys"]


class Maker:
    """A host in local mode, and shielding data for one template."""

    def __init__(self, folder: Path, disk: Path) -> None:
        self.disk = disk
        self._guardian = folder / "guardian.pem"
        local = keep_local_guardian(self._guardian).guardian
        self._catalog = folder / "template.vsc"
        signed = _sign(folder, disk, self._catalog)
        qualifier = VolumeIdQualifier(signed.disk_name, signed.signer_fingerprint, signed.version, VersionRule.EQUALS)
        secrets = ShieldingSecrets(Secret(default_linux_answer_file("$6$saltsalt$" + "a" * 86).encode()))
        owner = create_guardian_keys("Owner", datetime.now(UTC), key_size=2048)
        self._pdk = folder / "web.pdk"
        self._pdk.write_bytes(write_pdk(owner, [local], Policy.SHIELDED, [qualifier], secrets, os.urandom))
        self._access = HostTpmAccess("none", folder / "tpm.lock", folder / "identity-key.bin")
        self._folder = folder / "vms"

    def make(self) -> Run:
        """Provision a VM, and remove it again; only the first is timed."""
        run, started = Run(), time.perf_counter()

        def step(name: str, _percent: int, _message: str) -> None:
            run.steps.setdefault(name, time.perf_counter() - started)

        machines = VirtualMachines(
            self._folder, self._access, lambda _vm: lambda _request: b"", "dry", local_guardian=self._guardian
        )
        spec = VmSpec(str(uuid.uuid4()), "web01", 1, 256, _VALUES, _NETWORK, 22022, "0" * 64, "1" * 64, "2" * 64)
        machines.provision(spec, b"", self.disk, self._catalog, self._pdk, step)
        run.seconds = time.perf_counter() - started
        shutil.rmtree(self._folder)
        return run


def _sign(folder: Path, disk: Path, catalog: Path) -> SignedCatalog:
    write_signing_certificate("Publisher", folder / "publisher")
    signer = signing_keys.from_pem(folder / "publisher/signing.pem", folder / "publisher/signing.key")
    boot = signing_keys.load_certificate(folder / "boot-certificate.pem")
    return signing.sign_template(signing.ToSign(disk, "Benchmark", "1.0.0.0", signer, boot, catalog))


def qemu_img_luks(disk: Path, folder: Path) -> float:
    """Seconds of `qemu-img convert -O luks` alone.

    It may try again: it measures its own speed first, and gives up where a busy machine shows it no time at all.
    """
    target, secret = folder / "convert.luks", "secret,id=s,data=benchmark"
    options = ["--object", secret, "-o", "key-secret=s,iter-time=10"]
    command = ["qemu-img", "convert", "-f", "raw", "-O", "luks", *options, disk, target]
    for _ in range(_TRIES - 1):
        with suppress(ToolFailedError):
            return _timed(command, target)
    return _timed(command, target)


def cryptsetup_reencrypt(disk: Path, folder: Path) -> float:
    """Seconds of `cryptsetup reencrypt --encrypt` alone, in place, on a copy whose making is not counted."""
    target, key = folder / "reencrypt.raw", folder / "reencrypt.key"
    shutil.copyfile(disk, target)
    os.truncate(target, disk.stat().st_size + 32 * 1024 * 1024)
    key.write_bytes(os.urandom(32))
    subprocess.run(["sync", target], check=True)
    options = ["--type", "luks2", "--reduce-device-size", "32M", "--batch-mode", "--disable-locks"]
    stretching = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", key]
    return _timed(["/usr/sbin/cryptsetup", "reencrypt", "--encrypt", *options, *stretching, target], target)


def _timed(command: list[object], target: Path) -> float:
    started = time.perf_counter()
    try:
        done = subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise ToolFailedError(f"{command[0]} failed: {done.stderr.strip()}")
        return seconds
    finally:
        target.unlink(missing_ok=True)


@contextmanager
def memory_watched() -> Iterator[list[int]]:
    """Gives a list that ends with the most memory, in bytes, that all descendants of this process had at once.

    Proportional set sizes, so that pages shared by forked processes, or with the page cache, count once; anonymous
    files in memory are among them as far as they are mapped, and are added by what their descriptors say.
    """
    peak, end = [0], threading.Event()

    def watch() -> None:
        while not end.wait(_PAUSE):
            peak[0] = max(peak[0], sum(_memory_of(pid) for pid in _descendants(os.getpid())))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        end.set()
        watcher.join()


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(word) for word in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *_descendants(child)]
    return found


def _memory_of(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        mapped = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        return mapped + _anonymous_files(pid)
    except (OSError, StopIteration):
        return 0


def _anonymous_files(pid: int) -> int:
    total = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(descriptor.readlink()).startswith("/memfd:guarded-"):
                total += descriptor.stat().st_blocks * 512
        except OSError:
            continue
    return total
