"""An HGS node as it really runs: a process of its own, a database of its own, and the command line beside it."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TOKEN = "a-fabric-token-of-some-length"
START_SECONDS = 60.0


@dataclass
class Node:
    """One node; ``folder`` holds its database and its log."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    port: int = 0
    master_key: bytes = field(default_factory=lambda: os.urandom(32))
    more: dict[str, str] = field(default_factory=dict)
    """Further settings."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        return self.folder / "hgs.sqlite3"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "GF_ROLE": "hgs",
            "SECRET_KEY": "for-tests-only",
            "HGS_DATABASE_URL": f"sqlite:///{self.database}",
            "HGS_MASTER_KEY": base64.b64encode(self.master_key).decode(),
            "HGS_FABRIC_TOKEN": TOKEN,
            "GF_VAR_DIR": str(self.folder),
            **self.more,
        }

    def python(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def gf(self, *arguments: str, code: int = 0) -> str:
        """``gf hgs …``: what it printed (what it complained about, where it fails)."""
        done = self.python("-c", "from portal.cli import main; main()", "hgs", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def gf_json(self, *arguments: str) -> Any:
        return json.loads(self.gf(*arguments, "--output", "json"))

    def start(self, port: int = 0) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            self.port = probe.getsockname()[1]
        command = [sys.executable, str(ROOT / "manage.py"), "hgs", "--bind", f"127.0.0.1:{self.port}"]
        with (self.folder / "hgs.log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while self.status("/livez") != 200:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def status(self, path: str) -> int:
        """The HTTP status of a path; 0 where nobody answers."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.url + path, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    @property
    def log(self) -> str:
        return (self.folder / "hgs.log").read_text(errors="replace")[-4000:]

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=30)
