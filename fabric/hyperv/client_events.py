"""What the agent's log says of an attestation, under the original's event ids for clients (``docs/events.md``)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hgs.attestation.verdict import AttestationStatus as Status
from hgs.attestation.verdict import AttestationSubStatus as Sub


@dataclass(frozen=True, slots=True)
class ClientEvent:
    """Numbers below 20000 are the original's, those above are ours."""

    number: int
    name: str


COMPLETED: Final = ClientEvent(1003, "attestation-completed")
SECURE_BOOT: Final = ClientEvent(1008, "secure-boot-or-baseline-not-accepted")
CI_POLICY: Final = ClientEvent(1009, "ci-policy-not-accepted")
POLICY: Final = ClientEvent(20102, "policy-not-met")
TRANSIENT: Final = ClientEvent(20103, "hgs-not-reached")
TPM: Final = ClientEvent(20104, "tpm-statement-not-made-or-not-accepted")
UNAUTHORIZED: Final = {
    "tpm": ClientEvent(1007, "endorsement-key-not-authorised"),
    "ad": ClientEvent(1010, "not-in-a-host-group"),
    "host-key": ClientEvent(20101, "host-key-not-authorised"),
}
_BY_REASON: Final = {
    Sub.SECURE_BOOT.value: SECURE_BOOT,
    Sub.SECURE_BOOT_SETTINGS.value: SECURE_BOOT,
    Sub.CODE_INTEGRITY_POLICY.value: CI_POLICY,
}


def events_of(status: str, sub_statuses: tuple[str, ...], mode: str = "tpm") -> Iterator[ClientEvent]:
    """The events of one attestation, each once. ``mode``: tpm, ad or host-key."""
    match status:
        case Status.PASSED:
            yield COMPLETED
        case Status.UNAUTHORIZED_HOST:
            yield UNAUTHORIZED.get(mode, UNAUTHORIZED["tpm"])
        case Status.TRANSIENT_ERROR:
            yield TRANSIENT
        case Status.TPM_ERROR:
            yield TPM
        case Status.NOT_CONFIGURED:
            return  # local mode: nobody was asked
        case _:
            yield from dict.fromkeys(_BY_REASON.get(reason, POLICY) for reason in sub_statuses or ("",))
