"""HGS runs without the portal: no module of it is loaded, and nothing of it is needed."""

import json
from pathlib import Path

import pytest

from tests.hgs.service.node import ROOT, Node

WALK = """
import django, json, sys
django.setup()
from django.core.checks import run_checks
from django.urls import get_resolver
run_checks()
get_resolver().resolve("/Attestation/getinfo")
import hgs.cli.records, hgs.cli.trusting, hgs.management.commands.hgs
from portal.wsgi import application
print(json.dumps(sorted(sys.modules)))
"""
STRANGERS = ("fabric", "tenants", "portal.web", "portal.api", "rest_framework", "celery", "redis", "tpm2_pytss")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_no_module_of_the_portal_or_the_fabric_is_loaded(node: Node) -> None:
    done = node.python("-c", "import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'portal.settings'" + WALK)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert "hgs.routes" in loaded
    assert [name for name in loaded if name.startswith(tuple(f"{s}." for s in STRANGERS)) or name in STRANGERS] == []


def test_its_migrations_are_complete(node: Node) -> None:
    done = node.python("-m", "django", "makemigrations", "--check", "--dry-run", "--settings", "portal.settings", "hgs")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("change", "id_"),
    [
        ({"HGS_MASTER_KEY": ""}, "hgs.E001"),
        ({"HGS_FABRIC_TOKEN": "short"}, "hgs.E002"),
        ({"HGS_WIRE_V1_BYTES": "hex"}, "hgs.E003"),
        ({"HGS_WIRE_V2_GUIDS": "braces"}, "hgs.E003"),
        ({"HGS_FABRIC_TOKEN": ""}, "hgs.W001"),
        ({"HGS_AUTO_APPROVE": "true"}, "hgs.W002"),
    ],
)
def test_what_is_missing_or_risky_is_said_at_start(
    node: Node, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], id_: str
) -> None:
    environment = node.environment | change
    monkeypatch.setattr(Node, "environment", environment)
    done = node.python("-m", "django", "check", "--settings", "portal.settings")
    assert f"({id_})" in done.stderr
    assert (done.returncode == 0) is id_.startswith("hgs.W")


def test_the_server_refuses_to_run_as_something_else(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "environment", node.environment | {"GF_ROLE": "all"})
    done = node.python(str(ROOT / "manage.py"), "hgs")
    assert done.returncode == 1
    assert "This process is not HGS" in done.stderr


def test_the_command_line_says_what_is_missing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Node, "environment", node.environment | {"SECRET_KEY": ""})
    complaint = node.gf("show", code=1)
    assert complaint.startswith("error: SECRET_KEY")
    assert "Traceback" not in complaint
