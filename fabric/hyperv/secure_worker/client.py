"""The main process's side: starts a secure worker, carries its key request to HGS, passes on its progress."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

import fabric
from fabric.hyperv.errors import HostError
from fabric.hyperv.secure_worker.channel import ChannelClosed, receive, send
from fabric.hyperv.secure_worker.orders import (
    Carried,
    NoAnswer,
    OtherCertificate,
    Progress,
    ProvisionOrder,
    Release,
    StartOrder,
)
from fabric.hyperv.system_tools import BARE_ENVIRONMENT

_SECONDS = 600.0


class SecureWorkerFailed(HostError):  # noqa: N818 - reads as a word
    """The secure worker refused, for a reason people can understand and mend; the code is that of the reason."""


class SecureWorkerBroken(RuntimeError):  # noqa: N818 - reads as a word
    """The secure worker ended in a way it should not: a bug, or the machine's lack of memory. `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def carry_out(order: ProvisionOrder | StartOrder, release: Release, progress: Progress) -> dict[str, Any]:
    """Have a secure worker carry out `order`; gives its public result.

    `release` carries a RollTransportKeyRequest to HGS and says what became of it; what it raises passes through.
    Raises `SecureWorkerFailed` or `SecureWorkerBroken`. No process is left behind.
    """
    root = Path(fabric.__file__).resolve().parent.parent
    worker = subprocess.Popen(
        [sys.executable, "-s", "-E", "-m", "fabric.hyperv.secure_worker"],
        cwd=root, env=BARE_ENVIRONMENT, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with _Patience(worker) as patience:
        try:
            return _converse(worker, order, release, progress, patience)
        except ChannelClosed:
            raise SecureWorkerBroken("secure-worker-died", "The secure worker ended without a result.") from None
        finally:
            _kill(worker)


class _Patience:
    """Ends a worker that has said nothing for `_SECONDS`; large disks take long, but are reported all the time."""

    def __init__(self, worker: subprocess.Popen[bytes]) -> None:
        self._worker = worker
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        self.renew()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def renew(self) -> None:
        """Something was heard."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(_SECONDS, _kill, (self._worker,))
        self._timer.daemon = True
        self._timer.start()


def _converse(
    worker: subprocess.Popen[bytes],
    order: ProvisionOrder | StartOrder,
    release: Release,
    progress: Progress,
    patience: _Patience,
) -> dict[str, Any]:
    if worker.stdin is None or worker.stdout is None:
        raise ChannelClosed
    send(worker.stdin, order.to_json())
    while True:
        message = receive(worker.stdout)
        patience.renew()
        if "progress" in message:
            step = message["progress"]
            progress(str(step["step"]), int(step["percent"]), str(step["message"]))
        elif "release" in message:
            carried = release(base64.b64decode(message["release"], validate=True))
            send(worker.stdin, _carried(carried))
        elif "error" in message:
            raise _error(message["error"])
        else:
            result: dict[str, Any] = message["result"]
            return result


def _carried(carried: Carried) -> dict[str, Any]:
    if isinstance(carried, NoAnswer):
        return {"unreachable": carried.message}
    if isinstance(carried, OtherCertificate):
        return {"certificate": base64.b64encode(carried.der).decode()}
    return {"released": base64.b64encode(carried).decode()}


def _error(error: dict[str, Any]) -> Exception:
    if error["expected"] is True:
        return SecureWorkerFailed(error["code"], error["message"], error["advice"])
    return SecureWorkerBroken(error["code"], error["message"])


def _kill(worker: subprocess.Popen[bytes]) -> None:
    if worker.poll() is None:
        if worker.stdin is not None:
            worker.stdin.close()
        try:
            worker.wait(timeout=5)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    for stream in (worker.stdin, worker.stdout):
        if stream is not None:
            stream.close()
