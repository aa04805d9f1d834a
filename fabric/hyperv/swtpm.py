"""One software TPM 2.0 (swtpm) for an emulated host: made once with an EK certificate, switched on and off with it.

The certificate authority in `ca` stands for the vendor of the TPMs and is shared by the emulated hosts of a fabric; its
root is what an HGS administrator trusts. Paths handed to swtpm are absolute, because `--daemon` changes to `/`.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fabric.hyperv.errors import TpmError
from fabric.hyperv.locks import exclusive
from fabric.hyperv.processes import end_process, running_process, wait_until

# sockaddr_un holds 108 bytes with the final zero; the control socket is named `<socket>.ctrl`.
_LONGEST_SOCKET_PATH = 107 - len(".ctrl")
_SETUP_SECONDS = 60
_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class SoftwareTpm:
    """A software TPM whose state lives in `directory` (absolute; one folder per TPM)."""

    directory: Path

    @property
    def socket(self) -> Path:
        """Where the TPM listens: in its own folder, or in a short private folder where that path is too long."""
        path = self.directory / "sock"
        return path if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH else _short_folder(self.directory) / "sock"

    @property
    def tcti(self) -> str:
        """How TSS2 reaches it."""
        return f"swtpm:path={self.socket}"

    @property
    def manufactured(self) -> bool:
        return (self.directory / "tpm2-00.permall").exists()

    @property
    def running(self) -> bool:
        return running_process(self._pid_file, "swtpm", str(self.directory)) is not None

    @property
    def _pid_file(self) -> Path:
        return self.directory / "pid"

    def manufacture(self, ca: Path, name: str) -> None:
        """Make the TPM with an RSA-2048 endorsement key and its certificate by the authority in `ca`.

        Does nothing where it exists. An interrupted attempt leaves nothing, since the work is done beside and renamed.
        Raises `TpmError` with the tool's last words.
        """
        if self.manufactured:
            return
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        ca.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=self.directory.parent) as folder:
            workshop, state = Path(folder), Path(folder) / "state"
            state.mkdir(mode=0o700)
            configuration = _write_configuration(workshop, ca)
            with exclusive(ca / "manufacture.lock", seconds=_SETUP_SECONDS, what="The TPM certificate authority"):
                _run_setup(state, configuration, name)
            if self.directory.exists():
                shutil.rmtree(self.directory)
            state.rename(self.directory)

    def switch_on(self) -> None:
        """Reset the TPM: everything of the last boot is gone, and it waits for TPM2_Startup. Raises `TpmError`."""
        if not self.manufactured:
            raise TpmError(f"There is no TPM in {self.directory}.", "Start the host once; it makes its TPM.")
        self.switch_off()
        self.socket.unlink(missing_ok=True)
        done = subprocess.run(self._command(), capture_output=True, text=True, timeout=_START_SECONDS, check=False)
        if done.returncode != 0 or not wait_until(lambda: self.socket.exists() and self.running, _START_SECONDS):
            raise TpmError(f"The software TPM did not start: {_last_words(done)}")

    def switch_off(self) -> None:
        """End the TPM's process, if there is one."""
        end_process(self._pid_file, "swtpm", str(self.directory))

    def _command(self) -> list[str]:
        return [
            "swtpm", "socket", "--tpm2",
            "--tpmstate", f"dir={self.directory}",
            "--server", f"type=unixio,path={self.socket},mode=0600",
            "--ctrl", f"type=unixio,path={self.socket}.ctrl,mode=0600",
            "--flags", "not-need-init",
            "--daemon", "--pid", f"file={self._pid_file}",
            "--log", f"file={self.directory / 'log'},level=1,truncate",
        ]  # fmt: skip


def _short_folder(directory: Path) -> Path:
    """A folder of ours alone with a short path, always the same for the same state folder."""
    name = f"gf-tpm-{os.getuid()}-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]}"
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / name  # noqa: S108 - checked below
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise TpmError(f"{folder} is not a private folder of this user.", f"Remove {folder} and start again.")
    return folder


def _write_configuration(workshop: Path, ca: Path) -> Path:
    authority, options, setup = workshop / "localca.conf", workshop / "localca.options", workshop / "setup.conf"
    authority.write_text(
        f"statedir = {ca}\nsigningkey = {ca / 'signkey.pem'}\n"
        f"issuercert = {ca / 'issuercert.pem'}\ncertserial = {ca / 'certserial'}\n",
        encoding="utf-8",
    )
    options.write_text(
        "--platform-manufacturer OpenGuardedFabric\n--platform-version 1.0\n--platform-model EmulatedHost\n",
        encoding="utf-8",
    )
    setup.write_text(
        f"create_certs_tool = {shutil.which('swtpm_localca') or 'swtpm_localca'}\n"
        f"create_certs_tool_config = {authority}\ncreate_certs_tool_options = {options}\nactive_pcr_banks = sha256\n",
        encoding="utf-8",
    )
    return setup


def _run_setup(state: Path, configuration: Path, name: str) -> None:
    command = [
        "swtpm_setup", "--tpm2", "--tpmstate", str(state), "--config", str(configuration),
        "--create-ek-cert", "--lock-nvram", "--vmid", name, "--pcr-banks", "sha256", "--overwrite",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SETUP_SECONDS, check=False)
    except FileNotFoundError as error:
        raise TpmError("swtpm_setup is not installed.", "Install the packages swtpm and swtpm-tools.") from error
    except subprocess.TimeoutExpired as error:
        raise TpmError(f"The TPM was not made within {_SETUP_SECONDS} s.") from error
    if done.returncode != 0:
        raise TpmError(f"The TPM could not be made: {_last_words(done)}")


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    lines = (done.stderr + done.stdout).strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"
