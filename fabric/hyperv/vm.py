"""One VM as processes: QEMU with UEFI Secure Boot and a virtual TPM, and nothing a host could look through.

No display, no serial port, no monitor, no shared folder. What remains is the disk (ciphertext), the network, the
heartbeat and control ports, and QMP with the commands of `fabric.hyperv.qmp`.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fabric.hyperv import qmp, vm_folder
from fabric.hyperv.errors import HostError
from fabric.hyperv.processes import end_process, running_process, wait_until
from fabric.hyperv.secure_boot import FIRMWARE
from fabric.hyperv.socket_paths import connectable
from fabric.hyperv.spec import GuestNetwork, VmSpec
from fabric.hyperv.system_tools import BARE_ENVIRONMENT

_QEMU: Final = "qemu-system-x86_64"
_START_SECONDS: Final = 15.0
_GUEST_SSH_PORT: Final = 22


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine in `folder` (absolute). `address` is where the host offers access to guests."""

    folder: Path
    address: str = "127.0.0.1"

    @property
    def run(self) -> Path:
        return self.folder / vm_folder.RUN

    @property
    def running(self) -> bool:
        """Whether its QEMU runs."""
        return running_process(self.run / vm_folder.QEMU_PID, _QEMU, str(self.folder)) is not None

    def launch(self, spec: VmSpec) -> None:
        """Start QEMU; the virtual TPM must be waiting. Raises `HostError`."""
        if not FIRMWARE.exists():
            raise HostError("firmware-missing", f"The firmware {FIRMWARE} is not there.", "Install the package ovmf.")
        # QEMU's own -daemonize forks, which its sandbox forbids; a session of its own serves as well.
        with (self.run / vm_folder.QEMU_LOG).open("wb") as log:
            process = subprocess.Popen(
                qemu_command(self.folder, spec, self.address),
                env=BARE_ENVIRONMENT, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, umask=0o077,
            )  # fmt: skip
        wait_until(lambda: process.poll() is not None or self._answers(), _START_SECONDS)
        if process.poll() is not None or not self.running:
            raise self._did_not_start(spec)

    def _answers(self) -> bool:
        try:
            return bool(self.status())
        except (HostError, ValueError):
            return False

    def ask_to_shut_down(self) -> bool:
        """Ask the guest to shut down; whether the request could be handed over."""
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(5)
                with connectable(self.run / vm_folder.CONTROL_SOCKET) as address:
                    stream.connect(address)
                stream.sendall(b"shutdown\n")
                # The guest may take a second to look; closing earlier would drop the line.
                wait_until(lambda: not self.running, 3, pause=0.1)
        except OSError:
            return False
        return True

    def power_off(self) -> None:
        """End QEMU and the virtual TPM; none running is fine. The TPM ends by itself when QEMU ends in good order."""
        try:
            with qmp.connect(self.run / vm_folder.QMP_SOCKET) as control:
                control.execute("quit")
        except (OSError, ValueError, HostError):
            pass
        wait_until(lambda: not self.running, 3)
        end_process(self.run / vm_folder.QEMU_PID, _QEMU, str(self.folder))
        self.end_virtual_tpm()

    def end_virtual_tpm(self) -> None:
        """End the virtual TPM, if it runs."""
        folder = self.folder / vm_folder.VTPM
        pid_file = self.run / vm_folder.TPM_PID
        wait_until(lambda: running_process(pid_file, "swtpm", str(folder)) is None, 2)
        # The second one is left behind only by a secure worker that was killed while it sealed.
        for file in (pid_file, folder / "pid"):
            end_process(file, "swtpm", str(folder))

    def status(self) -> str:
        """QEMU's own word for the state of its machine (`running`, `paused` …). Raises `HostError`."""
        try:
            with qmp.connect(self.run / vm_folder.QMP_SOCKET) as control:
                return str(control.execute("query-status")["status"])
        except OSError:
            raise HostError("vm-not-running", "The machine is not running.") from None

    def prepare_run_folder(self) -> None:
        """An empty folder for sockets and pid files."""
        self.run.mkdir(mode=0o700, exist_ok=True)
        for path in self.run.iterdir():
            path.unlink()

    def _did_not_start(self, spec: VmSpec) -> HostError:
        words = self._last_words()
        if "Could not set up host forwarding rule" in words:
            return HostError(
                "access-port-in-use",
                f"Another program of the host uses port {spec.access_port} of {self.address}.",
                "Retry a new VM: it gets another port. For an old one, have that program stopped.",
            )
        return HostError("vm-start", f"QEMU did not start: {words}")

    def _last_words(self) -> str:
        lines = (self.run / vm_folder.QEMU_LOG).read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it gave no reason"


def qemu_command(folder: Path, spec: VmSpec, address: str) -> list[str]:
    """The arguments of QEMU for a shielded VM. Nothing in them is secret."""
    run = folder / vm_folder.RUN
    # Sockets by paths relative to the VM's folder, in which QEMU runs: their length is limited.
    sockets = vm_folder.RUN
    accelerated = _has_kvm()
    return [
        _QEMU, "-name", spec.name, "-uuid", spec.id, "-pidfile", str(run / vm_folder.QEMU_PID),
        "-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none",
        "-serial", "none", "-parallel", "none",
        "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-machine", "q35,smm=on,vmport=off,hpet=off,dump-guest-core=off",
        "-accel", "kvm" if accelerated else "tcg,thread=multi", "-cpu", "host" if accelerated else "max",
        "-smp", str(spec.vcpus), "-m", str(spec.memory_mib), "-rtc", "base=utc",
        "-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1",
        "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}",
        "-drive", f"if=pflash,format=raw,unit=1,file={_quoted(folder / vm_folder.VARIABLES)}",
        "-chardev", f"socket,id=tpm,path={sockets}/{vm_folder.TPM_SOCKET}",
        "-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-crb,tpmdev=tpm0",
        "-drive", f"if=none,id=os,format=raw,discard=off,file={_quoted(folder / vm_folder.DISK)}",
        "-device", "virtio-blk-pci,drive=os,bootindex=0",
        "-netdev", _network(spec.network, address, spec.access_port),
        "-device", "virtio-net-pci,netdev=net,romfile=",
        "-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=beat,server=on,wait=off,path={sockets}/{vm_folder.HEARTBEAT_SOCKET}",
        "-device", "virtserialport,chardev=beat,name=org.guardedfabric.agent.0",
        "-chardev", f"socket,id=ctl,server=on,wait=off,path={sockets}/{vm_folder.CONTROL_SOCKET}",
        "-device", "virtserialport,chardev=ctl,name=org.guardedfabric.control.0",
        "-qmp", f"unix:{sockets}/{vm_folder.QMP_SOCKET},server=on,wait=off",
    ]  # fmt: skip


def _network(network: GuestNetwork, address: str, port: int) -> str:
    # `restrict` keeps the guest from the host's own services: user-mode networking would lead the gateway's address to
    # the host's loopback. Only the forwarded port gets in.
    options = [
        "user", "id=net", "ipv6=off", "restrict=on", f"net={network.cidr}", f"host={network.gateway}",
        f"dhcpstart={network.address}", f"hostfwd=tcp:{address}:{port}-{network.address}:{_GUEST_SSH_PORT}",
    ]  # fmt: skip
    inside = ipaddress.IPv4Address(network.dns) in ipaddress.IPv4Network(network.cidr)
    if inside and network.dns not in (network.gateway, network.address):
        options.append(f"dns={network.dns}")
    return ",".join(options)


def _quoted(path: Path) -> str:
    """A path inside a QEMU option, where a comma is doubled."""
    return str(path).replace(",", ",,")


def _has_kvm() -> bool:
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    return (" vmx" in flags or " svm" in flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)
