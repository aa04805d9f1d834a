"""The HGS that is measured: processes and a database of its own, on loopback, stopped by its own process id."""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 90.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class NodeError(RuntimeError):
    """HGS did not do what it had to; the message ends with its log."""


@dataclass
class Node:
    """One HGS. Use it as a context manager. ``database_url`` names an empty database; empty: SQLite in ``folder``."""

    folder: Path
    database_url: str = ""
    workers: int = 2
    threads: int = 0
    """Of each process; 0: as many as HGS chooses itself."""
    port: int = 0
    token: str = field(default_factory=lambda: os.urandom(24).hex())
    process: "subprocess.Popen[bytes] | None" = None
    _master_key: bytes = field(default_factory=lambda: os.urandom(32))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What its processes and its command line see: nothing of the caller's own deployment."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "GF_ROLE": "hgs",
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "SECRET_KEY": self.token,
            "HGS_DATABASE_URL": self.database_url or f"sqlite:///{self.folder / 'hgs.sqlite3'}",
            "HGS_MASTER_KEY": base64.b64encode(self._master_key).decode(),
            "HGS_FABRIC_TOKEN": self.token,
            "HGS_AUTO_APPROVE": "true",
            "GF_VAR_DIR": str(self.folder),
        }

    def run(self, *arguments: str, seconds: float = 120) -> str:
        """What a Python program in HGS's role printed. Raises NodeError."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise NodeError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Serve. Raises NodeError when it does not answer in time."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        sizes = ["--workers", str(self.workers), *(["--threads", str(self.threads)] if self.threads else [])]
        command = [sys.executable, str(ROOT / "manage.py"), "hgs", "--bind", f"127.0.0.1:{self.port}", *sizes]
        with (self.folder / "hgs.log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NodeError(f"HGS does not answer:\n{self.log}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=20)
        self.process = None

    def submit(self, kind: str, name: str, content: bytes) -> None:
        """Register something as the fabric does; this HGS approves by itself. Raises NodeError."""
        body = {"kind": kind, "name": name, "content": base64.b64encode(content).decode(), "submitted_by": "benchmark"}
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(  # noqa: S310 - its own address on loopback
            f"{self.url}/fabric/v1/submissions", json.dumps(body).encode(), headers
        )
        with self._open(request) as response:
            state = json.load(response).get("state")
        if state != "approved":
            raise NodeError(f"HGS did not approve the {kind} {name}: {state}")

    def get(self, path: str) -> bytes:
        """The body of a resource."""
        with self._open(f"{self.url}{path}") as response:
            content: bytes = response.read()
        return content

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """HTTP status and body of the answer to a JSON message, whatever the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @property
    def log(self) -> str:
        """The end of what it logged."""
        return (self.folder / "hgs.log").read_text(errors="replace")[-4000:]

    def cpu_seconds(self) -> float:
        """Processor time, user and system, that its processes have used so far."""
        return sum(_cpu_of(pid) for pid in self._processes())

    def _processes(self) -> Iterable[int]:
        if self.process is None:
            return
        pid = self.process.pid
        yield pid
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            yield from (int(child) for child in children.read_text().split())

    def _open(self, what: "urllib.request.Request | str") -> Any:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            return opener.open(what, timeout=60)
        except urllib.error.HTTPError as error:
            raise NodeError(f"HGS answered {error.code}: {error.read()[:500]!r}") from error

    def _answers(self) -> bool:
        try:
            self.get("/livez")
        except (OSError, NodeError):
            return False
        return True


def _cpu_of(pid: int) -> float:
    """From /proc/PID/stat, fields 14 and 15; the name in parentheses before them may hold anything."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
