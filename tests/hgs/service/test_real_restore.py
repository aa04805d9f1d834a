"""The drill with real parts: an HGS process and a host with a TPM; the machine is lost, and another takes its place."""

import base64
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.hyperv.attestation import Attestor
from fabric.hyperv.config import HostConfig
from fabric.hyperv.tpm import identity_decrypt
from hgs.client import KeyProtectionClient
from hgs.keyprotection.metadata import parse_metadata
from hgs.keyprotection.protector import Protector, new_protector, parse_protector
from hgs.keyprotection.release import new_request, open_response
from hgs.keyprotection.secret import Secret
from hgs.wire import kps
from tests.hgs.keyprotection.guardians import owner
from tests.hgs.service.node import Node
from tests.hgs.service.test_real_tpm import _boot, _introduce

pytestmark = pytest.mark.tpm


@pytest.fixture(autouse=True)
def clock() -> None:
    """These parts have clocks of their own."""


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Node]:
    (tmp_path / "first").mkdir()
    node = Node(tmp_path / "first")
    node.gf("init", "--trust-tpm", "--name", "contoso")
    node.start()
    yield node
    node.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Node]:
    """Another machine: no database, another master key."""
    (tmp_path / "second").mkdir()
    node = Node(tmp_path / "second")
    yield node
    node.stop()


@pytest.fixture
def hv01(lost: Node, tmp_path: Path) -> Iterator[HostConfig]:
    host = _boot(tmp_path, lost, "hv01", "healthy")
    _introduce(lost, tmp_path, {"hv01": host})
    yield host
    host.state.tpm.switch_off()


def _start(host: HostConfig, protector: Protector, certificate: bytes) -> tuple[Protector, Secret, Secret]:
    """What the start of a VM asks HGS for."""
    request = new_request(protector, certificate)
    client = KeyProtectionClient(host.hgs_url)
    answer = kps.parse_response(client.roll_transport_key(kps.serialise_request(request)))
    released = open_response(answer, request, lambda value: identity_decrypt(host.tpm_access, value))
    return parse_protector(answer.egress_protector), released.ingress, released.egress


def test_a_new_machine_takes_the_place_of_the_one_that_was_lost(
    lost: Node, fresh: Node, hv01: HostConfig, tmp_path: Path
) -> None:
    attestor = Attestor(hv01)
    assert attestor.attest("test").passed
    guardian = parse_metadata(KeyProtectionClient(lost.url).metadata()).verify("contoso").guardian
    protector, first = new_protector(owner(), [guardian], os.urandom)
    protector, opened, left = _start(hv01, protector, attestor.health_certificate())
    assert opened == first
    passphrase, path = tmp_path / "passphrase", str(tmp_path / "contoso.hgs-state")
    passphrase.write_text("eight words that nobody else would think of\n")
    told = lost.gf("export-state", "-o", path, "--passphrase-file", str(passphrase))  # while it serves
    assert "1 release" in told
    lost.stop()
    lost.database.unlink()

    assert "New attestation signer" in fresh.gf("import-state", path, "--passphrase-file", str(passphrase))
    fresh.start()
    assert fresh.status("/readyz") == 200
    moved = replace(hv01, hgs_url=fresh.url)
    attestor = Attestor(moved)
    state = attestor.attest("test")
    assert state.passed, state.message
    protector, opened, left_next = _start(moved, protector, attestor.health_certificate())
    assert opened == left, "the virtual machine finds the key it was left with"
    assert _start(moved, protector, attestor.health_certificate())[1] == left_next
    again = parse_metadata(KeyProtectionClient(fresh.url).metadata()).verify("contoso").guardian
    assert again.fingerprint == guardian.fingerprint, "tenants need import nothing"
    assert again.encryption_certificate == guardian.encryption_certificate
    assert "whole" in fresh.gf("verify-log")
    assert [row["result"] for row in fresh.gf_json("releases")] == ["released"] * 3


def test_the_master_key_is_replaced_while_a_node_serves(lost: Node, hv01: HostConfig) -> None:
    assert Attestor(hv01).attest("test").passed
    older, lost.master_key = lost.master_key, os.urandom(32)
    lost.more["HGS_MASTER_KEY_OLD"] = base64.b64encode(older).decode()
    lost.stop()
    lost.start(lost.port)
    assert Attestor(hv01).attest("test").passed
    assert "6 keys sealed anew" in lost.gf("rewrap")  # the node serves on
    assert Attestor(hv01).attest("test").passed
    del lost.more["HGS_MASTER_KEY_OLD"]
    lost.stop()
    lost.start(lost.port)
    assert Attestor(hv01).attest("test").passed
    lost.master_key = older
    assert "another master key" in lost.gf("rewrap", code=1)


READ_WHILE_OTHERS_WRITE = """
import sqlite3, sys
import django
django.setup()
from django.db import connection, transaction
from hgs.models import PolicyState
from portal.kernel.snapshot import snapshot

other = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
write = "INSERT INTO hgs_policystate VALUES (?, 1, '2026-11-27 12:00:00', 'ann')"
with snapshot():
    before = PolicyState.objects.count()
    other.execute(write, ["one"])
    assert PolicyState.objects.count() == before, "what is written meanwhile is not seen"
assert PolicyState.objects.count() == before + 1
with transaction.atomic():
    try:
        other.execute(write, ["two"])
    except sqlite3.OperationalError as error:
        assert "locked" in str(error)
    else:
        raise AssertionError("every other transaction has the right to write from its beginning")
"""


def test_a_snapshot_is_of_one_moment_and_keeps_nobody_from_writing(lost: Node) -> None:
    lost.more["DJANGO_SETTINGS_MODULE"] = "portal.settings"
    done = lost.python("-c", READ_WHILE_OTHERS_WRITE, str(lost.database))
    assert done.returncode == 0, done.stderr
