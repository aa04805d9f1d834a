"""Shielding data of Version 2: written as the command line writes it, byte for byte, and taken by all who read it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch
from uuid import UUID

import pytest

from fabric.shielding.answerfile import default_linux_answer_file
from fabric.shielding.pdk import (
    Pdk,
    PdkType,
    Policy,
    RecoveryKey,
    ShieldingSecrets,
    open_pdk,
    parse_pdk,
    write_pdk,
)
from fabric.shielding.pdk_form import PdkDocument, parse_document
from fabric.shielding.recovery import escrow, open_escrow, parse_escrow
from fabric.shielding.sha512_crypt import sha512_crypt
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection import algorithms
from hgs.keyprotection.elements import EncryptedData, Signature
from hgs.keyprotection.metadata import serialise_metadata
from hgs.keyprotection.ownership import open_as_owner
from hgs.keyprotection.protector import unwrap
from hgs.keyprotection.secret import Secret
from tests.hgs.keyprotection.guardians import branch, communications, counted_random, lab, owner
from tests.tenants.offline_page.core import Core, owner_file
from tests.tenants.offline_page.walking import PASSPHRASE

pytestmark = pytest.mark.browser

MADE = """async (ownerFile, passphrase, answerFile, choices, qualifiers, files, ...metadata) => {
  const owner = await openOwner(ownerFile, passphrase);
  const guardians = [];
  for (const file of metadata) guardians.push((await openMetadata(file, "lab")).guardian);
  const octets = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const trusted = qualifiers.map(([name, signer, version, rule]) => qualifier(name, octets(signer), version, rule));
  const held = new Map(files.map(([name, data]) => [name, octets(data)]));
  return writePdk({ ...choices, owner, guardians, qualifiers: trusted, answerFile, files: held });
}"""
DISK = VolumeIdQualifier("Größe (3) & <co>", b"s" * 32, "1.0.0.65535", VersionRule.GREATER_THAN_OR_EQUALS)
OTHER_DISK = VolumeIdQualifier("Debian 12", b"t" * 32, "12.0.0.0", VersionRule.EQUALS)
LINUX = default_linux_answer_file(sha512_crypt(Secret(b"x"), "salt", 1000)).encode()
WINDOWS = b'<?xml version="1.0"?>\n<unattend><a>@ProductKey@</a><b>@MACAddr-1@@ComputerName@</b></unattend>'
FILES = {"b.conf": b"", "a-1": b"\0\xff" * 500, "configuration-script": b"#!/bin/sh\n", "B2": "ä\r\n".encode()}


@dataclass(frozen=True)
class Choices:
    """What a person chose."""

    answer_file: bytes = LINUX
    kind: PdkType = PdkType.FOR_SHIELDED_TEMPLATES
    policy: Policy = Policy.SHIELDED
    wish: RecoveryKey = RecoveryKey.ESCROW
    qualifiers: tuple[VolumeIdQualifier, ...] = (DISK, OTHER_DISK)
    files: dict[str, bytes] = field(default_factory=lambda: FILES)


def as_given(qualifiers: Sequence[VolumeIdQualifier]) -> list[list[str]]:
    return [[q.disk_name, base64.b64encode(q.signer_fingerprint).decode(), q.version, q.rule] for q in qualifiers]


def made_by_page(core: Core, chosen: Choices = Choices()) -> bytes:
    trusted = [
        [q.disk_name, base64.b64encode(q.signer_fingerprint).decode(), q.version, q.rule] for q in chosen.qualifiers
    ]
    held = [[name, base64.b64encode(data).decode()] for name, data in chosen.files.items()]
    choices = {"type": chosen.kind, "policy": chosen.policy, "recoveryKey": chosen.wish}
    metadata = [serialise_metadata(keys.guardian, communications()) for keys in (lab(), branch())]
    made = core.run(MADE, owner_file(), PASSPHRASE, chosen.answer_file, choices, trusted, held, *metadata)
    assert isinstance(made, bytes)
    return made


def signatures_in(document: PdkDocument, pdk: Pdk) -> Iterator[Signature]:
    yield document.owner_signature
    yield pdk.key_protector.guardian_signature
    for wrapping in pdk.key_protector.wrappings:
        yield wrapping.signing_certificate_signature


@contextmanager
def replaying(data: bytes) -> Iterator[Callable[[int], bytes]]:
    """Python's code with the chance of a file made elsewhere: its transport key, its nonce, its salted signatures.

    A signature of the file is given only for the very octets that it is over, and a wrapped key only if it opens to the
    key to wrap. Whatever Python would have written otherwise has no signature here.
    """
    document, pdk = parse_document(data), parse_pdk(data)
    transport_key = unwrap(pdk.protector, lab())
    chance = [transport_key.value.reveal(), document.content.value[: algorithms.GCM_NONCE_SIZE]]
    signatures = list(signatures_in(document, pdk))
    wrapped = [wrapping.transport_key for wrapping in pdk.key_protector.wrappings]
    private = [keys.encryption_key for keys in (owner(), lab(), branch())]

    def random_bytes(count: int) -> bytes:
        given = chance.pop(0)
        assert len(given) == count
        return given

    def sign(key: object, octets: bytes, uri: str = algorithms.RSA_PSS_SHA256) -> Signature:
        assert uri == algorithms.RSA_PSS_SHA256
        public = key.public_key()  # type: ignore[attr-defined]
        return next(one for one in signatures if algorithms.is_signed(public, one, octets))

    def wrap(key: object, secret: Secret) -> EncryptedData:
        (at,) = [at for at, one in enumerate(private) if one.public_key() == key]
        assert algorithms.unwrap_transport_key(private[at], wrapped[at]) == secret
        return wrapped[at]

    with patch.object(algorithms, "sign", sign), patch.object(algorithms, "wrap_transport_key", wrap):
        yield random_bytes
    assert chance == []


def written_by_python(data: bytes, chosen: Choices) -> bytes:
    secrets = ShieldingSecrets(
        Secret(chosen.answer_file), {name: Secret(octets) for name, octets in chosen.files.items()}
    )
    with replaying(data) as random_bytes:
        return write_pdk(
            owner(), [lab().guardian, branch().guardian], chosen.policy, chosen.qualifiers, secrets, random_bytes,
            kind=chosen.kind, recovery_key=chosen.wish,
        )  # fmt: skip


@pytest.mark.parametrize("wish", list(RecoveryKey))
@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize(
    ("kind", "answer_file", "qualifiers"),
    [
        (PdkType.FOR_SHIELDED_TEMPLATES, LINUX, (DISK, OTHER_DISK)),
        (PdkType.FOR_SHIELDED_TEMPLATES, WINDOWS, (DISK,)),
        (PdkType.FOR_SHIELDED_TEMPLATES, b'GF_TIME_ZONE="Etc/UTC"\n', (OTHER_DISK,)),
        (PdkType.FOR_EXISTING_VMS, b"", ()),
    ],
    ids=["linux", "windows", "no-values", "existing"],
)
def test_the_same_choices_and_the_same_chance_give_the_same_bytes(
    core: Core, kind: PdkType, answer_file: bytes, qualifiers: tuple[VolumeIdQualifier, ...], policy: Policy,
    wish: RecoveryKey,
) -> None:  # fmt: skip
    chosen = Choices(answer_file, kind, policy, wish, qualifiers)
    made = made_by_page(core, chosen)
    written = written_by_python(made, chosen)
    assert hashlib.sha256(made).hexdigest() == hashlib.sha256(written).hexdigest()
    assert made == written


def test_other_choices_with_the_same_chance_have_no_signature(core: Core) -> None:
    """What the comparison above is worth: it fails for the least difference."""
    made = made_by_page(core)
    with pytest.raises(StopIteration):
        written_by_python(made, Choices(wish=RecoveryKey.NONE))
    with pytest.raises(StopIteration):
        written_by_python(made, Choices(qualifiers=(OTHER_DISK, DISK)))
    with pytest.raises(StopIteration):
        written_by_python(made, Choices(files=FILES | {"b.conf": b"x"}))


def test_its_owner_and_every_guardian_open_it_and_it_says_what_it_asks_for(core: Core) -> None:
    made = made_by_page(core, Choices(WINDOWS, wish=RecoveryKey.NONE))
    pdk = parse_pdk(made)
    assert made.startswith(b'<ShieldingData xmlns="urn:open-guarded-fabric:shielding-data:2" Version="2">')
    assert (pdk.version, pdk.escrows_recovery_key) == (2, False)
    assert pdk.substitution_strings == ("@ComputerName@", "@MACAddr-1@", "@ProductKey@")
    for keys in (owner(), lab(), branch()):
        secrets = open_pdk(pdk, unwrap(pdk.protector, keys))
        assert secrets.answer_file.reveal() == WINDOWS
        assert {name: value.reveal() for name, value in secrets.other_files.items()} == FILES


def test_a_recovery_key_left_for_it_opens_with_it(core: Core) -> None:
    pdk = parse_pdk(made_by_page(core))
    assert pdk.escrows_recovery_key
    vm, passphrase = UUID("5f0c2f4e-7f7c-4a42-9a6b-0f6f0c7d1c2a"), Secret(b"r" * 32)
    left = escrow(vm, pdk, unwrap(pdk.protector, lab()), passphrase, counted_random("recovery"))
    found = parse_escrow(left)
    assert found.is_of(pdk)
    assert open_escrow(found, pdk, open_as_owner(pdk.protector, owner())) == passphrase


@pytest.mark.parametrize(
    ("kind", "answer_file", "qualifiers"),
    [
        (PdkType.FOR_SHIELDED_TEMPLATES, LINUX, ()),
        (PdkType.FOR_SHIELDED_TEMPLATES, LINUX, (DISK,) * 65),
        (PdkType.FOR_SHIELDED_TEMPLATES, b"", (DISK,)),
        (PdkType.FOR_EXISTING_VMS, b"", (DISK,)),
        ("ForEverything", LINUX, (DISK,)),
    ],
)
def test_what_no_reader_takes_is_not_written(
    core: Core, kind: PdkType, answer_file: bytes, qualifiers: tuple[VolumeIdQualifier, ...]
) -> None:
    trusted = as_given(qualifiers)
    choices = {"type": kind, "policy": "Shielded", "recoveryKey": "Escrow"}
    metadata = serialise_metadata(lab().guardian, communications())
    assert not core.accepts(MADE, owner_file(), PASSPHRASE, answer_file, choices, trusted, [], metadata)
    if kind == "ForShieldedTemplates":
        good = [["Debian 12", base64.b64encode(b"t" * 32).decode(), "1.0.0.0", "Equals"]]
        for wish in ("Perhaps", "escrow", ""):
            wrong = choices | {"recoveryKey": wish}
            assert not core.accepts(MADE, owner_file(), PASSPHRASE, LINUX, wrong, good, [], metadata)
