"""Messages between a host's main process and its secure worker: a 4-byte big-endian length, then a JSON object.

From the worker: {"progress": {step, percent, message}}, {"release": base64 of a RollTransportKeyRequest},
{"result": {...}} or {"error": {code, message, advice, expected}}. To the worker: one order, then one answer for each
release: {"released": base64}, {"certificate": base64} (write the request again with this health certificate) or
{"unreachable": sentence}.
"""

from __future__ import annotations

import json
from typing import IO, Any, Final

MESSAGE_MAX: Final = 4 * 1024 * 1024


class ChannelClosed(Exception):  # noqa: N818 - reads as a word: except ChannelClosed
    """The other side is gone, or sent something that is not a message."""


def send(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write one message. Raises `ChannelClosed`."""
    data = json.dumps(message).encode()
    try:
        stream.write(len(data).to_bytes(4, "big") + data)
        stream.flush()
    except OSError:
        raise ChannelClosed from None


def receive(stream: IO[bytes]) -> dict[str, Any]:
    """Read one message. Raises `ChannelClosed`."""
    header = stream.read(4)
    length = int.from_bytes(header, "big")
    if len(header) != 4 or length > MESSAGE_MAX:
        raise ChannelClosed
    data = stream.read(length)
    if len(data) != length:
        raise ChannelClosed
    try:
        message = json.loads(data)
    except ValueError:
        raise ChannelClosed from None
    if not isinstance(message, dict):
        raise ChannelClosed
    return message
