"""The first accounts of a fabric: a plan, a tenant with a subscription, a fabric administrator, and their tokens.

Safe to run any number of times: what exists is left as it is. Passwords and tokens are written to one file of mode 0600
and cannot be had from the database; where the file has lost one, a new one is made.
"""

import json
import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from fabric.commands.networks import create_network
from fabric.models import Network
from portal.accounts import tokens
from portal.accounts.commands import create_token, create_user
from portal.accounts.models import User
from portal.kernel import audit
from portal.kernel.actor import Role, system_actor
from tenants.commands.virtual_machines import scope_of
from tenants.models import Plan, Subscription

TOKEN_NAME = "bootstrap"  # noqa: S105 - a name
NETWORK, NETWORK_CIDR = "lab", "10.20.0.0/24"
PLAN = {"quota_vms": 10, "quota_vcpus": 20, "quota_memory_mib": 10240, "vm_vcpus": 1, "vm_memory_mib": 512}
_ACTOR = system_actor("bootstrap")


@dataclass
class Credentials:
    """What the file holds: {"users": {name: {"password", "token", "role"}}}."""

    path: Path
    users: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Credentials":
        """The file's content; an absent file is empty. Raises `ValueError` for one that is not ours."""
        if not path.exists():
            return cls(path)
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("users"), dict):
            raise ValueError(f"{path} holds no credentials of this command")  # noqa: TRY004 - it is the value
        return cls(path, content["users"])

    def write(self) -> None:
        """Replace the file as a whole; it is never readable by others, not even while it is written."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".credentials-")  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"users": self.users}, file, indent=2, sort_keys=True)
            file.write("\n")
        Path(name).replace(self.path)


def seed(path: Path, tenant: str = "tenant", admin: str = "fabric-admin") -> list[str]:
    """Make what is missing; returns a sentence for each thing made. Credentials are on disk before it returns."""
    credentials = Credentials.read(path)
    made: list[str] = []
    for name, role in ((tenant, Role.TENANT), (admin, Role.FABRIC_ADMIN)):
        user = _account(credentials, name, role, made)
        _token(credentials, user, made)
    with transaction.atomic():
        plan, created = Plan.objects.get_or_create(name="standard", defaults=PLAN)
        if created:
            made.append("Plan standard was made.")
        owner = User.objects.get(username=tenant)
        subscription, created = Subscription.objects.get_or_create(owner=owner, defaults={"name": tenant, "plan": plan})
        if created:
            audit.record(
                _ACTOR, "subscription:created", target_type="subscription", target_id=subscription.pk,
                scope=scope_of(subscription.pk), summary=f"Subscription {subscription.name} of plan {plan.name}",
            )  # fmt: skip
            made.append(f"Subscription {subscription.name} was made.")
    if not Network.objects.exists():
        create_network(_ACTOR, name=NETWORK, cidr=NETWORK_CIDR, description="Made at the first start.")
        made.append(f"Network {NETWORK} was made.")
    return made


def _account(credentials: Credentials, name: str, role: Role, made: list[str]) -> User:
    """The account; its password is written down before it is set, so that an interruption loses nothing."""
    known = credentials.users.setdefault(name, {})
    known["role"] = role.value
    user = User.objects.filter(username=name).first()
    if user is None:
        known.setdefault("password", secrets.token_urlsafe(15))
        credentials.write()
        user = create_user(_ACTOR, username=name, password=known["password"], role=role)
        made.append(f"User {name} was made.")
    return user


def _token(credentials: Credentials, user: User, made: list[str]) -> None:
    known = credentials.users[user.username]
    found = tokens.find(known["token"], timezone.now()) if known.get("token") else None
    if found is not None and found.user_id == user.pk:
        return
    _, known["token"] = create_token(_ACTOR, user, name=TOKEN_NAME, days=None)
    credentials.write()
    made.append(f"An API token for {user.username} was made.")
