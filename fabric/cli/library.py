"""What `gf template` does with the portal's library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fabric.cli.uploads import Memory, send_file
from portal.cli.failure import CliError
from portal.cli.jobs import follow, job_of
from portal.cli.rest import RestClient

TEMPLATES: Final = "/api/v1/template-disks/"
_KIND: Final = "template-disk"
_PATIENCE: Final = 6 * 3600.0  # seconds; as long as the portal gives itself


def publish_template(disk: Path, catalog: Path, words: Mapping[str, str]) -> dict[str, Any]:
    """Send a disk in parts, have the portal publish it with its catalog, and wait until it has; the new template."""
    with RestClient() as portal:
        upload = send_file(portal, disk, _KIND)
        started = portal.upload(TEMPLATES, {"catalog": catalog}, {"upload": upload, **words})
        job = job_of(started)
        follow(portal, job, _PATIENCE)
        Memory(portal.origin, disk, _KIND).forget()
        made = portal.get(f"/api/v1/jobs/{job}/")["result"]["template"]
        published: dict[str, Any] = portal.get(f"{TEMPLATES}{made}/")
    return published


def describe_template(name: str, changes: Mapping[str, str]) -> dict[str, Any]:
    """Change a template's words; the template as it then is."""
    with RestClient() as portal:
        changed: dict[str, Any] = portal.request(
            "PATCH", f"{TEMPLATES}{one_template(portal, name)['id']}/", json=changes
        )
    return changed


def template_facts(name: str) -> dict[str, Any]:
    """A template with what it covers and, for a fabric administrator, who uses it, as lines."""
    with RestClient() as portal:
        found = portal.get(f"{TEMPLATES}{one_template(portal, name)['id']}/")
        covers = [f"{each['name']}: bytes {each['offset']} + {each['length']}" for each in found["covered"]]
        answer = portal.exchange("GET", f"{TEMPLATES}{found['id']}/usage/")
        used_by = _use(answer.json()) if answer.is_success else []
    return {**found, "covers": covers, "used_by": used_by}


def one_template(portal: RestClient, name: str) -> dict[str, Any]:
    """The one template with this id, name or NAME:VERSION. Raises CliError."""
    rows = portal.items(TEMPLATES)
    found = [row for row in rows if name in (row["id"], row["name"], f"{row['name']}:{row['version']}")]
    if len(found) != 1:
        raise CliError(f"{len(found)} templates are called {name}.", "Name one by its id; see gf template list.")
    return found[0]


def _use(use: Mapping[str, Any]) -> list[str]:
    lines = [f"{use['vms']} virtual machines"]
    lines += [f"{each['host']}: {each['vms']}" for each in use["hosts"]]
    lines += [f"{count} shielding data files of {owner} trust it" for owner, count in use["trusting"].items()]
    return lines
