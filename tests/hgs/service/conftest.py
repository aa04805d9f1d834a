"""HGS as it runs alone: its own routes and middleware, a clock that tests move, and keys made once."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import Client

from hgs.attestation.healthcert import make_signer
from hgs.commands import guardian_keys, signers
from hgs.commands import initialise as initialising
from hgs.commands.submissions import approve, submit
from hgs.commands.trust import add_tpm_root
from hgs.models import OperationMode, Submission
from hgs.strangers import Allowance
from portal.accounts.models import User
from portal.kernel.actor import Actor, ActorKind, Role, user_actor
from tests.hgs.attestation.boots import CI_POLICY, Boot
from tests.hgs.attestation.tpm_hosts import NOW, Manufacturer
from tests.hgs.keyprotection.guardians import communications, lab
from tests.hgs.service.hosts import Host, make_tpm

ADMIN = Actor(ActorKind.USER, "ann", "ann", frozenset({Role.HGS_ADMIN}))
REVIEWER = Actor(ActorKind.USER, "rob", "rob", frozenset({Role.HGS_REVIEWER}))
FABRIC = Actor(ActorKind.TOKEN, "fabric", "fabric", frozenset({Role.FABRIC_ADMIN}))
TENANT = Actor(ActorKind.USER, "tom", "tom", frozenset({Role.TENANT}))
TOKEN = {"HTTP_AUTHORIZATION": "Bearer fabric-token-for-tests-only"}
PASSWORD = "correct horse battery staple"


class Clock:
    """Django's clock, as far as HGS reads it."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **step: float) -> None:
        self.now += timedelta(**step)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("django.utils.timezone.now", clock)
    return clock


@pytest.fixture(autouse=True)
def nobody_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What earlier tests were refused counts against nobody."""
    monkeypatch.setattr("hgs.commands.release.STRANGERS", Allowance(burst=120, per_second=2))
    monkeypatch.setattr("hgs.commands.release.HOSTS", Allowance(burst=600, per_second=10))
    monkeypatch.setattr("hgs.commands.release.RELEASES", Allowance(burst=4000, per_second=100))


@pytest.fixture(autouse=True)
def as_hgs_alone(settings: Any) -> None:
    """What an HGS process has installed; the portal's shell is not part of it."""
    settings.ROOT_URLCONF = "hgs.urls"
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "portal.web" not in name and "htmx" not in name]
    (engine,) = settings.TEMPLATES
    processors = [name for name in engine["OPTIONS"]["context_processors"] if not name.startswith("portal.web")]
    settings.TEMPLATES = [{**engine, "OPTIONS": {**engine["OPTIONS"], "context_processors": processors}}]
    settings.LOGIN_URL = "hgs:sign-in"
    settings.CSRF_FAILURE_VIEW = "hgs.web.errors.csrf_failure"
    settings.HGS_AUTO_APPROVE = False


@pytest.fixture(scope="session")
def signer() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    return make_signer(NOW - timedelta(days=1), timedelta(days=365), os.urandom)


@pytest.fixture(scope="session")
def stranger() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """An attestation signer of the same name, of somebody else."""
    return make_signer(NOW - timedelta(days=1), timedelta(days=365), os.urandom)


@pytest.fixture
def keys_made_once(monkeypatch: pytest.MonkeyPatch, signer: tuple[x509.Certificate, rsa.RSAPrivateKey]) -> None:
    """Keys of HGS are made once for the whole run; a signer that follows the first is a new one."""
    first = [signer]
    monkeypatch.setattr(initialising, "create_guardian_keys", lambda *_, **__: lab())
    monkeypatch.setattr(initialising, "create_communications_key", lambda *_: communications())
    monkeypatch.setattr(signers, "make_signer", lambda *wanted: first.pop() if first else make_signer(*wanted))


@pytest.fixture(scope="session")
def stock() -> list[rsa.RSAPrivateKey]:
    """Keys to be had at once, RSA-2048."""
    return [rsa.generate_private_key(65537, 2048) for _ in range(4)]


@pytest.fixture
def keys_in_stock(monkeypatch: pytest.MonkeyPatch, stock: list[rsa.RSAPrivateKey]) -> None:
    """Fresh keys of the guardian are not made for each test anew."""
    left = list(stock)
    monkeypatch.setattr(guardian_keys, "_new_key", lambda: left.pop())


@pytest.fixture
def initialised(db: None, keys_made_once: None) -> None:
    """An HGS in TPM mode."""
    initialising.initialise(ADMIN, mode=OperationMode.TPM, name="lab")


@pytest.fixture(scope="session")
def manufacturer() -> Manufacturer:
    return Manufacturer()


@pytest.fixture(scope="session")
def identity() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="session")
def other_identity() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def hv01(manufacturer: Manufacturer, identity: rsa.RSAPrivateKey) -> Host:
    return Host("hv01", make_tpm(identity), manufacturer, Boot(identity=identity.public_key()))


@pytest.fixture
def hv02(manufacturer: Manufacturer, other_identity: rsa.RSAPrivateKey) -> Host:
    return Host("hv02", make_tpm(other_identity), manufacturer, Boot(identity=other_identity.public_key()))


Trusting = Callable[[str, str, bytes], Submission]


@pytest.fixture
def trusting(initialised: None) -> Trusting:
    """Submit as the fabric and approve as an administrator."""

    def trust(kind: str, name: str, content: bytes) -> Submission:
        submission, _ = submit(FABRIC, kind, name, content)
        return approve(ADMIN, submission)

    return trust


@pytest.fixture
def fabric(trusting: Trusting, manufacturer: Manufacturer, hv01: Host) -> Trusting:
    """HGS knows the TPM maker, hv01, one baseline and one CI policy."""
    add_tpm_root(ADMIN, "", manufacturer.root)
    trusting("host", "hv01", hv01.identity_file)
    trusting("baseline", "r1", hv01.log)
    trusting("ci-policy", "hosts", CI_POLICY)
    return trusting


def make_person(name: str, role: Role) -> User:
    user = User(username=name, role=role.value)
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def admin(db: None) -> User:
    return make_person("ann", Role.HGS_ADMIN)


@pytest.fixture
def reviewer(db: None) -> User:
    return make_person("rob", Role.HGS_REVIEWER)


@pytest.fixture
def signed_in(admin: User, client: Client) -> Client:
    client.force_login(admin)
    return client


def actor_of(user: User) -> Actor:
    return user_actor(user)
