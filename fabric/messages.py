"""What hosts report to the control plane, read strictly: Celery messages are input from machines we do not trust.

Every message is JSON. A field that is missing, of another type, too long or unknown refuses the whole message with
`MessageRefused`; the task logs it and drops it, because a retry would not make it better.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from portal.kernel.errors import Invalid

TEXT_LIMIT = 2000
VM_LIMIT = 2000
VM_STATES = frozenset({"provisioning", "starting", "running", "stopping", "stopped", "failed"})
OUTCOMES = frozenset({"succeeded", "failed", "errored"})


class MessageRefused(Invalid):
    """A host's message is not what the contract says. Code `message-invalid`."""

    def __init__(self, what: str) -> None:
        super().__init__("message-invalid", f"The host's message was refused: {what}.")


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the host says it can hold."""

    vcpus: int
    memory_mib: int
    max_vms: int


@dataclass(frozen=True, slots=True)
class HostReport:
    """A host's report about itself. `status` and `sub_statuses` are its claim; only `attestation_id` is looked up."""

    attestation_id: UUID | None
    status: str
    sub_statuses: tuple[str, ...]
    certificate_not_after: datetime | None
    capacity: Capacity
    vms: dict[UUID, str]
    version: str

    @classmethod
    def parse(cls, value: object) -> "HostReport":
        """Read a report; raises `MessageRefused`."""
        claims = {"attestation_id", "status", "sub_statuses", "certificate_not_after"}
        fields = _fields(value, required=claims | {"capacity", "vms", "version"})
        return cls(
            attestation_id=None if fields["attestation_id"] is None else uuid(fields["attestation_id"]),
            status=text(fields["status"], "status", 64),
            sub_statuses=tuple(text(item, "sub_statuses", 64) for item in _list(fields["sub_statuses"], 32)),
            certificate_not_after=_time(fields["certificate_not_after"]),
            capacity=_capacity(fields["capacity"]),
            vms=_vms(fields["vms"]),
            version=text(fields["version"], "version", 64),
        )


@dataclass(frozen=True, slots=True)
class HostError:
    """Why a job on a host failed, in words for people."""

    code: str
    message: str
    advice: str

    @classmethod
    def parse(cls, value: object) -> "HostError | None":
        """Read an error, or None; raises `MessageRefused`."""
        if value is None:
            return None
        fields = _fields(value, required={"code", "message"}, optional={"advice", "details"})
        return cls(
            code=text(fields["code"], "error code", 64),
            message=text(fields["message"], "error message", TEXT_LIMIT),
            advice=text(fields.get("advice") or "", "error advice", TEXT_LIMIT),
        )


@dataclass(frozen=True, slots=True)
class Beat:
    """A guest's heartbeat as its host read it."""

    beat: int
    state: str
    computer_name: str
    uptime: int

    @classmethod
    def parse(cls, value: object) -> "Beat":
        """Read a heartbeat; raises `MessageRefused`."""
        fields = _fields(value, required={"beat", "state", "computer_name", "uptime"})
        if fields["state"] not in {"specialising", "running"}:
            raise MessageRefused("a heartbeat with an unknown state")
        return cls(
            beat=number(fields["beat"], "beat", 1 << 53),
            state=fields["state"],
            computer_name=text(fields["computer_name"], "computer_name", 63),
            uptime=number(fields["uptime"], "uptime", 1 << 53),
        )


def uuid(value: object) -> UUID:
    """A UUID in its usual text form."""
    try:
        if isinstance(value, str) and len(value) == 36:
            return UUID(value)
    except ValueError:
        pass
    raise MessageRefused("an id that is not a UUID")


def text(value: object, name: str, limit: int) -> str:
    """A text of at most `limit` characters."""
    if not isinstance(value, str) or len(value) > limit or "\0" in value:
        raise MessageRefused(f"{name} is not a text of at most {limit} characters")
    return value


def number(value: object, name: str, limit: int) -> int:
    """A whole number from 0 to `limit`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise MessageRefused(f"{name} is not a number from 0 to {limit}")
    return value


def outcome(value: object) -> str:
    """How a job ended on the host."""
    if not isinstance(value, str) or value not in OUTCOMES:
        raise MessageRefused("an unknown outcome")
    return value


def vm_state(value: object) -> str:
    """A VM's state as hosts say it."""
    if not isinstance(value, str) or value not in VM_STATES:
        raise MessageRefused("an unknown VM state")
    return value


def _fields(value: object, required: set[str], optional: frozenset[str] | set[str] = frozenset()) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MessageRefused("not an object")
    names = set(value)
    if missing := required - names:
        raise MessageRefused(f"{', '.join(sorted(missing))} missing")
    if unknown := names - required - optional:
        raise MessageRefused(f"{len(unknown)} unknown fields")
    return value


def _list(value: object, limit: int) -> list[object]:
    if not isinstance(value, list) or len(value) > limit:
        raise MessageRefused(f"not a list of at most {limit}")
    return value


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(text(value, "time", 40))
    except ValueError as error:
        raise MessageRefused("a time that is not ISO 8601") from error
    if moment.tzinfo is None:
        raise MessageRefused("a time without its zone")
    return moment


def _capacity(value: object) -> Capacity:
    fields = _fields(value, required={"vcpus", "memory_mib", "max_vms"})
    return Capacity(
        vcpus=number(fields["vcpus"], "vcpus", 1 << 16),
        memory_mib=number(fields["memory_mib"], "memory_mib", 1 << 30),
        max_vms=number(fields["max_vms"], "max_vms", VM_LIMIT),
    )


def _vms(value: object) -> dict[UUID, str]:
    if not isinstance(value, dict) or len(value) > VM_LIMIT:
        raise MessageRefused(f"vms is not an object of at most {VM_LIMIT}")
    return {uuid(vm_id): vm_state(state) for vm_id, state in value.items()}
