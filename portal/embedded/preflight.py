#!/usr/bin/env python3
"""Prepares a machine: Python version, free disk, ports, Debian packages, then `.venv` from `requirements.lock`.

Runs with the system's Python and the standard library alone, before anything is installed. Every complaint says what is
wrong and what to do; what is already in place is not touched.
"""

import argparse
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_LIST = Path(__file__).with_name("debian-packages.txt")
LOCK = ROOT / "requirements.lock"
AD_LOCK = Path(__file__).with_name("requirements-ad.lock")
VENV = ROOT / ".venv"
STAMP = VENV / ".installed"
AD_STAMP = VENV / ".installed-ad"
OLDEST_PYTHON = (3, 11)
DISK_GB = {"up": 4.0, "test": 4.0}
PORTS = {"PORTAL_PORT": 8000, "HGS_PORT": 8081, "DOMAIN_PORT": 8088}
ADDRESSES = {"PORTAL_PORT": "PORTAL_URL", "HGS_PORT": "HGS_URL", "DOMAIN_PORT": "DOMAIN_ADDRESS"}
MODES = {"tpm": "--trust-tpm", "ad": "--trust-ad", "host-key": "--trust-host-key"}


class Trouble(Exception):  # noqa: N818 - what a person reads
    """Something a person must mend; the text says what and how."""


def say(text: str) -> None:
    print(text, flush=True)


def check_python() -> None:
    if sys.version_info < OLDEST_PYTHON:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise Trouble(
            f"Python {found} is too old: Python 3.11 or newer is needed.\n"
            "Install it, then run:  make PYTHON=python3.11 " + " ".join(sys.argv[1:2])
        )


def check_disk(purpose: str) -> None:
    free = shutil.disk_usage(ROOT).free / 1e9
    if free < DISK_GB[purpose]:
        raise Trouble(
            f"Only {free:.1f} GB are free where the project lies ({ROOT}); {DISK_GB[purpose]:.0f} GB are needed.\n"
            "Free some space, or move the project to a larger disk."
        )


def port_of(name: str, kept: Path) -> int:
    """The port the environment gives; else that of the last `make up`, from its file `kept`; else the usual one."""
    if given := os.environ.get(name):
        return int(given)
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.is_file() else []
    ports = [line.rpartition(":")[2] for line in lines if line.startswith(ADDRESSES[name] + "=")]
    return int(ports[0]) if ports and ports[0].isdecimal() else PORTS[name]


def var_dir() -> Path:
    return Path(os.environ.get("GF_VAR_DIR", ROOT / "var")).resolve()


def mode_of(var: Path) -> str:
    """The mode of attestation that the fabric in `var` was made with; of a new one, what MODE asks for."""
    kept = var / "mode"
    if kept.is_file():
        return kept.read_text(encoding="ascii").strip()
    return "tpm" if (var / "hgs" / "hgs.sqlite3").is_file() else os.environ.get("MODE") or "tpm"


def check_mode() -> None:
    """MODE is chosen once for a fabric."""
    given = os.environ.get("MODE")
    if given and given not in MODES:
        raise Trouble(f"MODE={given} is no mode of attestation. Choose one of: {', '.join(MODES)}.")
    made = mode_of(var_dir())
    if given and given != made:
        raise Trouble(
            f"This fabric was made with MODE={made}, and keeps it.\n"
            f"For a fresh one in the other mode:  make down clean && make up MODE={given}\n"
            f"To try the other mode on this one:  GF_ROLE=hgs .venv/bin/gf hgs set {MODES[given]} --dry-run\n"
            "(without --dry-run it switches; hosts that are not registered for the other mode are then refused)."
        )


def check_ports() -> None:
    """Ports must be free, unless this fabric already runs on them."""
    if running_here():
        return
    for name in PORTS:
        if name == "DOMAIN_PORT" and mode_of(var_dir()) != "ad":
            continue
        port = port_of(name, var_dir() / "env" / "host.env")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise Trouble(
                    f"Port {port} on 127.0.0.1 cannot be used ({error.strerror}).\n"
                    f"Stop what uses it, or choose another one:  {name}=18000 make up"
                ) from error


def running_here() -> bool:
    """Whether a process of this fabric is alive; a stale pid file does not count."""
    for pid_file in (var_dir() / "run").glob("*.pid"):
        try:
            pid = int(pid_file.read_text(encoding="ascii").split()[0])
            os.kill(pid, 0)
        except (OSError, ValueError, IndexError):
            continue
        return True
    return False


def sections(purpose: str) -> "set[str]":
    """The parts of the package list that are needed."""
    if purpose == "test":
        return {"[run]", "[test]", "[ad]"}
    return {"[run]", "[ad]"} if mode_of(var_dir()) == "ad" else {"[run]"}


def wanted_packages(wanted_sections: "set[str]") -> "list[list[str]]":
    section, wanted = "", []
    for line in PACKAGE_LIST.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            section = line
        elif line and section in wanted_sections:
            wanted.append([name.strip() for name in line.split("|")])
    return wanted


def is_installed(package: str) -> bool:
    query = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package], capture_output=True, text=True, check=False
    )
    return query.returncode == 0 and query.stdout.strip() == "installed"


def is_available(package: str) -> bool:
    shown = subprocess.run(["apt-cache", "policy", package], capture_output=True, text=True, check=False)
    return "Candidate:" in shown.stdout and "Candidate: (none)" not in shown.stdout


def missing_packages(wanted_sections: "set[str]") -> "list[list[str]]":
    return [names for names in wanted_packages(wanted_sections) if not any(is_installed(name) for name in names)]


def install_packages(wanted_sections: "set[str]") -> None:
    if not shutil.which("dpkg-query"):
        raise Trouble("This is not a Debian or Ubuntu machine: install the packages named in " + str(PACKAGE_LIST))
    missing = missing_packages(wanted_sections)
    if not missing:
        return
    prefix = privileges([names[0] for names in missing])
    say("Installing Debian packages: " + " ".join(names[0] for names in missing))
    run([*prefix, "apt-get", "update", "-qq"], "apt-get update failed: is the network there?")
    chosen = [next((name for name in names if is_available(name)), names[0]) for names in missing]
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *chosen]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run([*prefix, *install], "apt-get could not install them; its own message is above.", environment)
    if "samba" in chosen and Path("/run/systemd/system").is_dir():
        say("Debian's samba package starts a file server too; this project does not use it. To switch it off:")
        say("  systemctl disable --now smbd nmbd")


def privileges(packages: list[str]) -> list[str]:
    """How to become root: not at all, or through sudo; otherwise the exact command for somebody who can."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo"):
        quiet = subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
        if quiet or sys.stdin.isatty():
            return ["sudo"]
    raise Trouble(
        "These Debian packages are missing, and you are neither root nor may use sudo. Have somebody run:\n\n"
        "  apt-get update && apt-get install -y --no-install-recommends " + " ".join(packages) + "\n\n"
        "and start again."
    )


def run(command: list[str], complaint: str, environment: "dict[str, str] | None" = None) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False
    )
    if done.returncode:
        say(done.stdout[-4000:])
        raise Trouble(complaint)


def fingerprint(lock: Path) -> str:
    content = lock.read_bytes() + (ROOT / "pyproject.toml").read_bytes() + sys.version.encode() + str(ROOT).encode()
    return hashlib.sha256(content).hexdigest()


def is_done(stamp: Path, lock: Path) -> bool:
    return stamp.is_file() and stamp.read_text(encoding="ascii") == fingerprint(lock)


def install_python_packages() -> None:
    """`.venv` from the lock, every archive checked by its hash; the stamp comes last, so a broken run is redone."""
    if is_done(STAMP, LOCK):
        return
    python = VENV / "bin" / "python"
    if not python.exists():
        say("Making .venv")
        run([sys.executable, "-m", "venv", str(VENV)], "The virtual environment could not be made.")
    say("Installing Python packages from requirements.lock (about a minute)")
    install_locked(LOCK)
    run(
        [*pip(), "--no-deps", "--no-build-isolation", "-e", str(ROOT)],
        "The project itself could not be installed.",
    )
    STAMP.write_text(fingerprint(LOCK), encoding="ascii")


def install_kerberos_packages() -> None:
    """What Active Directory mode needs besides, from a lock of its own."""
    if is_done(AD_STAMP, AD_LOCK):
        return
    say("Installing Python packages from portal/embedded/requirements-ad.lock (compiles, up to two minutes)")
    install_locked(AD_LOCK)
    AD_STAMP.write_text(fingerprint(AD_LOCK), encoding="ascii")


def pip() -> "list[str]":
    return [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "-q", "install"]


def install_locked(lock: Path) -> None:
    run(
        [*pip(), "--require-hashes", "-r", str(lock)],
        "The Python packages could not be installed; pip's own message is above.",
    )


def prepare(purpose: str) -> None:
    check_python()
    check_disk(purpose)
    if purpose == "up":
        check_mode()
        check_ports()
    needed = sections(purpose)
    install_packages(needed)
    install_python_packages()
    if "[ad]" in needed:
        install_kerberos_packages()


def main() -> int:
    parser = argparse.ArgumentParser(description="Prepare this machine.")
    parser.add_argument("purpose", choices=sorted(DISK_GB))
    arguments = parser.parse_args()
    started = time.monotonic()
    try:
        prepare(arguments.purpose)
    except Trouble as trouble:
        say(f"\n{trouble}\n")
        return 1
    spent = time.monotonic() - started
    if spent > 2:
        say(f"The machine is prepared ({spent:.0f} s).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
