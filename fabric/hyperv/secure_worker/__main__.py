"""`python -m fabric.hyperv.secure_worker`: read one order, carry it out, answer, end."""

from __future__ import annotations

import base64
import errno
import traceback
from pathlib import Path
from typing import IO, Any, Final

from fabric.hyperv.secure_worker.channel import ChannelClosed, receive, send
from fabric.hyperv.secure_worker.isolation import isolate, private_streams

# These speak of the fabric's own values, by the names of placeholders that everybody knows.
_ABOUT_VALUES: Final = frozenset({"missing-value", "bad-value"})


def main() -> None:
    source, target = private_streams()
    isolate()
    try:
        send(target, _answer(receive(source), source, target))
    except ChannelClosed:
        return


def _answer(message: dict[str, Any], source: IO[bytes], target: IO[bytes]) -> dict[str, Any]:
    # Imported behind the closed doors: the libraries need no network either.
    from fabric.hyperv.secure_worker import orders, provisioning, starting

    def progress(step: str, percent: int, text: str) -> None:
        send(target, {"progress": {"step": step, "percent": percent, "message": text}})

    def release(request: bytes) -> orders.Carried:
        send(target, {"release": base64.b64encode(request).decode()})
        answer = receive(source)
        if "unreachable" in answer:
            return orders.NoAnswer(str(answer["unreachable"]))
        if "certificate" in answer:
            return orders.OtherCertificate(base64.b64decode(answer["certificate"], validate=True))
        return base64.b64decode(answer["released"], validate=True)

    try:
        order = orders.parse_order(message)
        if isinstance(order, orders.ProvisionOrder):
            return {"result": provisioning.provision(order, release, progress)}
        return {"result": starting.start(order, release, progress)}
    except ChannelClosed:
        raise
    except Exception as error:  # noqa: BLE001 - every end is told to the main process, and only in safe words
        return {"error": _describe(error)}


def _describe(error: Exception) -> dict[str, Any]:
    """What may leave: the sentence of an expected error; of any other only its type and place, never its text."""
    from fabric.shielding.errors import AnswerFileError, ShieldingContentError

    code, text = getattr(error, "code", None), getattr(error, "message", None)
    if isinstance(error, AnswerFileError | ShieldingContentError) and error.code not in _ABOUT_VALUES:
        # Its sentence may quote what the owner encrypted: a word between two @ may be half of a password.
        return {
            "code": error.code,
            "message": f"The encrypted part of the shielding data cannot be used ({error.code}).",
            "advice": "Only its owner can see why: gf pdk inspect FILE --owner OWNER-FILE.",
            "expected": True,
        }
    if isinstance(code, str) and isinstance(text, str):
        return {"code": code, "message": text, "advice": getattr(error, "advice", ""), "expected": True}
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return {
            "code": "disk-full",
            "message": "The host has no room left for the disk of this VM.",
            "advice": "Free space on the host, or choose another host, then retry.",
            "expected": True,
        }
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
    return {
        "code": "secure-worker-failed",
        "message": f"The secure worker met an error it did not expect ({where}).",
        "advice": "Retry; if it repeats, report it with these words.",
        "expected": False,
    }


if __name__ == "__main__":
    main()
