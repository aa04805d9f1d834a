"""What an attestation comes to for the door it came through: one reply, and the verdict that was stored."""

from dataclasses import dataclass

from hgs.models import Attestation
from hgs.wire import hgsa


@dataclass(frozen=True)
class Answer:
    """The reply to a host, and the stored attestation once there is one. ``reason`` is for HGS's own log."""

    reply: hgsa.Message
    attestation: Attestation | None = None
    reason: str = ""
