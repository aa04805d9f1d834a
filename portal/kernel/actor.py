"""Who does something. Every command takes an actor; nothing changes without one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


class Role(StrEnum):
    TENANT = "tenant"
    FABRIC_ADMIN = "fabric-admin"
    HGS_ADMIN = "hgs-admin"
    HGS_REVIEWER = "hgs-reviewer"
    HOST = "host"
    SYSTEM = "system"


class ActorKind(StrEnum):
    USER = "user"
    TOKEN = "token"  # noqa: S105 - a user, through an API token
    HOST = "host"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """`id` is the user's, host's or component's identifier; `via` names the API token, if one was used."""

    kind: ActorKind
    id: str
    name: str
    roles: frozenset[Role] = field(default_factory=frozenset)
    via: str = ""

    def has(self, role: Role) -> bool:
        return role in self.roles

    @property
    def is_system(self) -> bool:
        return Role.SYSTEM in self.roles


class Account(Protocol):
    """What the kernel knows of a person's account: its key, its name and its role's value."""

    role: Any

    @property
    def pk(self) -> Any: ...

    def get_username(self) -> str: ...


def user_actor(user: Account, *, via: str = "") -> Actor:
    kind = ActorKind.TOKEN if via else ActorKind.USER
    return Actor(kind, str(user.pk), user.get_username(), frozenset({Role(user.role)}), via)


def host_actor(host_id: str, name: str) -> Actor:
    return Actor(ActorKind.HOST, host_id, name, frozenset({Role.HOST}))


def system_actor(name: str) -> Actor:
    """The fabric itself, acting through the component `name` ("placement", "reaper")."""
    return Actor(ActorKind.SYSTEM, name, name, frozenset({Role.SYSTEM}))
