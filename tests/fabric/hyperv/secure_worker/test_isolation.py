"""The secure worker's doors, tried from inside a process that closed them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
INSIDE = "from fabric.hyperv.secure_worker.isolation import isolate\nisolate()\n"


def inside(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", INSIDE + code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"])
def test_there_are_no_network_sockets(family: str) -> None:
    done = inside(f"import socket\nsocket.socket(socket.{family}, socket.SOCK_DGRAM)")
    assert "the secure worker has no network" in done.stderr


def test_names_are_not_looked_up() -> None:
    done = inside("import socket\nsocket.getaddrinfo('localhost', 80)")
    assert done.returncode != 0


def test_there_is_no_core_dump_and_nobody_may_trace() -> None:
    done = inside(
        "import ctypes, resource\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    assert done.stdout.split() == ["(0,", "0)", "0"]


def test_it_loads_no_django_no_broker_and_no_http_client() -> None:
    code = (
        "import sys, fabric.hyperv.secure_worker.provisioning, fabric.hyperv.secure_worker.starting\n"
        "print([name for name in ('django', 'celery', 'redis', 'httpx2', 'sqlite3') if name in sys.modules])"
    )
    assert inside(code).stdout.strip() == "[]", inside(code).stderr


def test_what_it_prints_by_accident_does_not_reach_the_channel() -> None:
    code = (
        "from fabric.hyperv.secure_worker.isolation import private_streams\n"
        "source, target = private_streams()\nprint('accident', flush=True)\ntarget.write(b'meant')\ntarget.flush()"
    )
    assert inside(code).stdout == "meant"


def test_an_order_it_does_not_understand_ends_in_words_without_contents() -> None:
    import json

    order = json.dumps({"operation": "open-everything", "folder": "secret-folder"}).encode()
    done = subprocess.run(
        [sys.executable, "-m", "fabric.hyperv.secure_worker"],
        input=len(order).to_bytes(4, "big") + order, cwd=ROOT, capture_output=True, check=False,
    )  # fmt: skip
    answer = json.loads(done.stdout[4:])
    assert answer["error"]["code"] == "secure-worker-failed"
    assert b"secret-folder" not in done.stdout + done.stderr
