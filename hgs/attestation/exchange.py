"""The server's side of the RTPM exchange as pure functions (``docs/formats/rtpm.md``).

Round 1: the host shows its endorsement key and an attestation key; :func:`begin` answers with a credential that only
the TPM holding both can open, a nonce, and the server's own state, sealed.
Round 2: the host echoes the state with the opened secret, a quote, the boot log and its certified identity key;
:func:`finish` gives a verdict, and the keys to certify when the host passed.

The server keeps nothing between the rounds. A context must not be finished twice: the caller records
``Outcome.context_id`` until ``Outcome.expires_at`` and refuses a second one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from hgs.attestation.endorsement import EndorsementKey, EndorsementTrust
from hgs.attestation.policies import PolicySet
from hgs.attestation.tpm import PublicKey
from hgs.attestation.verdict import Verdict
from hgs.wire.hgsa import AttestationResultType
from hgs.wire.rtpm import RtpmContext

STATE_LIFETIME: Final = timedelta(seconds=120)
"""How long a host has between the rounds."""


@dataclass(frozen=True)
class Challenge:
    """Round 1 went well: the context to send as RtpmActiveContext."""

    context: RtpmContext
    context_id: UUID
    ek_hash: str
    host_name: str


@dataclass(frozen=True)
class Refusal:
    """Round 1 ended the attestation: a failed verdict."""

    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """Round 2's answer. ``keys`` is empty unless ``verdict.passed``."""

    verdict: Verdict
    keys: Mapping[AttestationResultType, PublicKey]
    context_id: UUID | None = None
    expires_at: datetime | None = None
    log: bytes = b""
    """The boot log as received, when it was verified (for "capture as new baseline")."""


def begin(
    session_id: UUID,
    endorsement: EndorsementKey,
    context: RtpmContext,
    *,
    trust: EndorsementTrust,
    seal_keys: Sequence[bytes],
    now: datetime,
    random_bytes: Callable[[int], bytes],
) -> Challenge | Refusal:
    """Answer round 1.

    ``seal_keys``: 32-byte keys shared by all nodes, newest first. Raises ``PayloadInvalid`` or ``Malformed`` for a
    request that is not round 1 (the caller answers PayloadErrorReply).
    """
    raise NotImplementedError


def finish(
    session_id: UUID,
    endorsement: EndorsementKey,
    context: RtpmContext,
    *,
    requested: Sequence[AttestationResultType],
    trust: EndorsementTrust,
    policies: PolicySet,
    seal_keys: Sequence[bytes],
    now: datetime,
) -> Outcome:
    """Answer round 2. Raises ``PayloadInvalid`` or ``Malformed`` for a request that is not round 2."""
    raise NotImplementedError
