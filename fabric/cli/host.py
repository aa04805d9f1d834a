"""`gf host`: on a host, what it is and how it is; on an administrator's machine, hosts in the portal.

Commands of the first kind read the host's state folder and work without the portal; those of the second kind speak to
the portal's REST API (GF_URL, GF_TOKEN).
"""

import base64
import hashlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fabric.cli.local import local
from fabric.cli.vm_protector import export_protector, replace_protector, restore_protector
from portal.cli.failure import FAILED, CliError
from portal.cli.output import Format, output_option, show_record, show_rows
from portal.cli.rest import RestClient

if TYPE_CHECKING:
    from fabric.hyperv.config import HostConfig

# First what the original's Get-HgsClientConfiguration prints, under its own names; then what it does not say.
_STATUS = (
    *(
        (name, name)
        for name in (
            "IsHostGuarded",
            "Mode",
            "KeyProtectionServerUrl",
            "AttestationServerUrl",
            "AttestationOperationMode",
            "AttestationStatus",
            "AttestationSubStatus",
            "FallbackKeyProtectionServerUrl",
            "FallbackAttestationServerUrl",
            "IsFallbackInUse",
        )
    ),
    ("name", "Name"),
    ("running", "Agent runs"),
    ("boot", "Boot"),
    ("profile", "Profile"),
    ("refused_drivers", "Refused drivers"),
    ("audited_drivers", "Audited drivers"),
    ("failing", "Policies that did not hold"),
    ("message", "Meaning"),
    ("advice", "What to do"),
    ("at", "Attested at"),
    ("certificate_not_after", "Certificate until"),
    ("certificate_by", "Certificate of"),
    ("offline_starts_shown", "Starts left without HGS"),
)
_REHEARSAL = (
    ("name", "Name"),
    ("in", "Mode"),
    ("would_pass", "Would pass"),
    ("status", "Attestation"),
    ("sub_statuses", "Sub-status"),
    ("message", "Meaning"),
    ("advice", "What to do"),
    ("attestation_id", "Rehearsal"),
)
_CHECKS = (("title", "Check"), ("outcome", "Outcome"), ("sentence", "Found"), ("remedy", "What to do"))
_HOSTS = (
    ("name", "Name"),
    ("state", "State"),
    ("attestation", "Attestation"),
    ("accepts_vms", "Takes VMs"),
    ("used_vms", "VMs"),
    ("why_not", "Why not"),
)


@click.group()
def host() -> None:
    """Hosts: identity, baseline, attestation, diagnosis; registration in the portal."""


# On the host itself


@host.command()
@click.argument("name")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else none is.")
def identity(name: str, out: Path | None) -> None:
    """Print the SHA-256 of the host's endorsement key as HGS shows it, for a person to compare before approving.

    With --out, also write the host's platform identifier (that key and its certificate), to be registered at HGS.
    """
    from fabric.hyperv.status import endorsement_key_hash

    state = _booted(name).state
    content = state.require(state.platform_identifier, "platform identifier")
    _write_and_tell(out, content, "Endorsement key (SHA-256)", endorsement_key_hash(state.name, content))


@host.command()
@click.argument("name")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
def baseline(name: str, out: Path) -> None:
    """Write the boot log of the host's last boot, to be registered at HGS as a baseline for hosts like it."""
    state = _booted(name).state
    _write(out, state.require(state.boot_log, "boot log"))


@host.command("ci-policy")
@click.argument("name")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
def ci_policy(name: str, out: Path) -> None:
    """Write the code-integrity policy in force on the host (unsigned), to be registered at HGS."""
    state = _booted(name).state
    _write(out, state.require(state.ci_policy, "code-integrity policy"))


@host.command("host-key")
@click.argument("name")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else none is.")
@click.option("--new", is_flag=True, help="Make a new key first; HGS must learn it before the host attests again.")
def host_key(name: str, out: Path | None, new: bool) -> None:
    """Print the SHA-256 of the host's key as HGS shows it, for a person to compare before approving.

    With --out, also write the key's certificate, to be registered at HGS for host key mode. The key is made at first
    need.
    """
    from fabric.hyperv import host_key as host_keys

    state = _booted(name).state
    key = host_keys.new_host_key(state) if new else host_keys.host_key(state)
    _write_and_tell(out, key.certificate, "Public key (SHA-256)", hashlib.sha256(key.public).hexdigest())


@host.command()
@click.argument("name")
@output_option
def status(name: str, output: Format) -> None:
    """Show how the host last booted and attested. Exit code 1 unless it is attested."""
    from fabric.hyperv.status import host_status

    found = host_status(_host(name))
    show_record(_with_offline_starts(found), _STATUS, output)
    _end(passed=found["attested"])


@host.command()
@click.argument("name")
@click.option("--use-primary", "chosen", flag_value="primary", help="Ask the primary HGS alone.")
@click.option("--use-fallback", "chosen", flag_value="fallback", help="Ask the fallback HGS alone.")
@output_option
def attest(name: str, chosen: str | None, output: Format) -> None:
    """Attest now, whatever certificate there is: with the primary HGS, with the fallback if that does not answer.

    Exit code 1 unless HGS attests the host.
    """
    from fabric.hyperv.hgs_client import HgsClient
    from fabric.hyperv.status import client_configuration, host_status

    config = _booted(name)
    hgs = HgsClient(config)
    if chosen == "fallback" and hgs.fallback is None:
        raise CliError("This host has no fallback HGS; HGS_FALLBACK_ATTESTATION_URL and its sister are not set.")
    if chosen is None:
        state = hgs.attest("command-line")
    else:
        asked = hgs.fallback if chosen == "fallback" and hgs.fallback else hgs.primary
        state = hgs.attest_with(asked, "command-line")
    shown = {
        **host_status(config),
        **client_configuration(config, state),
        "message": state.message,
        "advice": state.advice,
        "at": state.at,
        "certificate_not_after": state.certificate_not_after,
        "certificate_by": state.service if state.passed else "",
    }
    show_record(_with_offline_starts(shown), _STATUS, output)
    _end(passed=state.passed)


@host.command()
@click.argument("name")
@click.option("--mode", type=click.Choice(["tpm", "ad", "host-key"]), required=True, help="The mode to be judged in.")
@output_option
def rehearse(name: str, mode: str, output: Format) -> None:
    """Ask HGS how it would judge this host in a mode. Nothing changes; exit code 1 unless the host would pass."""
    from dataclasses import asdict

    from fabric.hyperv.attestation import MODE_NAMES, Attestor

    chosen = "active-directory" if mode == "ad" else mode
    state = Attestor(_booted(name)).rehearse(chosen)
    record = {**asdict(state), "name": name, "would_pass": state.passed, "in": MODE_NAMES[chosen]}
    show_record(record, _REHEARSAL, output)
    _end(passed=state.passed)


@host.command()
@click.argument("name")
@output_option
def diagnose(name: str, output: Format) -> None:
    """Check everything the host needs, up to a trial key release. Exit code 1 if a check failed."""
    from fabric.hyperv.diagnose import diagnose_host
    from fabric.hyperv.status import require_booted

    config = _host(name)
    if not config.state.directory.is_dir():
        require_booted(config)  # a host that tried to boot and failed has a folder, and is to be diagnosed
    found = diagnose_host(config)
    rows = [check.to_json() for check in found.checks]
    if output == "json":
        show_record(found.to_json(), (), output)
    else:
        show_rows(rows, _CHECKS, output)
    _end(passed=found.healthy)


@host.command("local-guardian")
@click.argument("name")
@click.option("--out", "-o", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
def local_guardian(name: str, out: Path) -> None:
    """Write the metadata of the guardian of a host in local mode, for an owner to grant to.

    Whoever grants to it gives up every protection from that host.
    """
    from fabric.hyperv.hgs_client import NO_PROTECTION
    from fabric.hyperv.local_guardian import local_metadata

    config = _booted(name)
    if config.local_guardian is None:
        raise CliError(f"{name} is not in local mode: it has an HGS. HOST_LOCAL_MODE=true makes it so.")
    _write(out, local_metadata(config.local_guardian))
    click.echo(NO_PROTECTION, err=True)


for _command in (local, export_protector, replace_protector, restore_protector):
    host.add_command(_command)


# In the portal


@host.command()
@click.argument("name")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where tenants reach its virtual machines.")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the token here, not out.")
def register(name: str, address: str, token_file: Path | None) -> None:
    """Register a host in the portal and print the token it starts with; the token is shown this once."""
    with RestClient() as portal:
        answer = portal.post("/api/v1/hosts/", json={"name": name, "address": address})
    _give_token(str(answer["token"]), token_file)


@host.command()
@click.argument("name")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), help="Write the token here, not out.")
def token(name: str, token_file: Path | None) -> None:
    """Renew a host's token; the old one stops working at once."""
    with RestClient() as portal:
        answer = portal.post(f"/api/v1/hosts/{_segment(name)}/token/")
    _give_token(str(answer["token"]), token_file)


@host.command("list")
@output_option
def list_hosts(output: Format) -> None:
    """List the hosts of the fabric with what HGS says of them."""
    with RestClient() as portal:
        show_rows(list(portal.items("/api/v1/hosts/")), _HOSTS, output)


@host.command()
@click.argument("name")
@click.option("--identity", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Platform identifier.")
@click.option("--host-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Host key (.cer).")
@click.option("--host-group", metavar="SID", default="", help="Security identifier of a domain group of hosts.")
@click.option("--baseline", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Boot log.")
@click.option("--ci-policy", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CI policy.")
@click.option(
    "--as", "label", default="", help="Name of the baseline, CI policy or host group at HGS (default: the host's)."
)
@output_option
def submit(
    name: str,
    identity: Path | None,
    host_key: Path | None,
    host_group: str,
    baseline: Path | None,
    ci_policy: Path | None,
    label: str,
    output: Format,
) -> None:
    """Submit what identifies a host, or what it boots, to HGS, where an HGS administrator decides on it."""
    files = {"host": identity, "host-key": host_key, "baseline": baseline, "ci-policy": ci_policy}
    given = {kind: path.read_bytes() for kind, path in files.items() if path is not None}
    if host_group:
        given["host-group"] = host_group.encode()
    if not given:
        options = "--identity, --host-key, --host-group, --baseline and --ci-policy"
        raise click.UsageError(f"Give at least one of {options}.")
    if label and (identity or host_key):
        raise click.UsageError(
            "--as does not go with --identity or --host-key: HGS keeps both under the host's own name. "
            "Submit the rest in a command of its own."
        )
    rows = []
    with RestClient() as portal:
        for kind, content in given.items():
            body = {"kind": kind, "name": label or name, "content": base64.b64encode(content).decode()}
            rows.append(portal.post(f"/api/v1/hosts/{_segment(name)}/submissions/", json=body))
    show_rows(rows, (("kind", "Kind"), ("name", "Name"), ("state", "State"), ("hgs_id", "Id at HGS")), output)


@host.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--name", "label", default="", help="Name of the baseline, for a single host; host and date otherwise.")
@output_option
def capture(names: tuple[str, ...], label: str, output: Format) -> None:
    """Submit what hosts measured last as new baselines, once for hosts that booted alike; HGS decides on each."""
    if label and len(names) > 1:
        raise click.UsageError("--name is for a single host.")
    with RestClient() as portal:
        if label:
            sent = portal.post(f"/api/v1/hosts/{_segment(names[0])}/capture/", json={"name": label})
            rows = [{"outcome": sent["state"], "hosts": list(names), "sentence": "", "submission": sent}]
        else:
            rows = list(portal.post("/api/v1/captures/", json={"hosts": [_segment(name) for name in names]}))
    shown = rows
    if output == "table":
        shown = [
            row | {"hosts": ", ".join(row["hosts"]), "name": (row["submission"] or {}).get("name")} for row in rows
        ]
    columns = (("name", "Baseline"), ("hosts", "Hosts"), ("outcome", "Result"), ("sentence", "What came of it"))
    show_rows(shown, columns, output)
    _end(passed=any(row["outcome"] != "refused" for row in rows))


def _host(name: str) -> "HostConfig":
    """The host's configuration; these commands run where its state folder is."""
    os.environ.setdefault("GF_ROLE", "host")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from fabric.hyperv.config import host_config

    return host_config(name)


def _booted(name: str) -> "HostConfig":
    """The same of a host that booted here: a mistyped name must not make a host's folder and keys."""
    from fabric.hyperv.status import require_booted

    config = _host(name)
    require_booted(config)
    return config


def _with_offline_starts(found: dict[str, Any]) -> dict[str, Any]:
    """The status with a sentence for people about starts without HGS; programs read `offline_starts`."""
    starts = found["offline_starts"]
    if starts is None:
        return {**found, "offline_starts_shown": "unknown: the TPM does not answer"}
    return {**found, "offline_starts_shown": ", ".join(f"{vm}: {left}" for vm, left in starts.items())}


def _write_and_tell(path: Path | None, data: bytes, title: str, digest: str) -> None:
    """The bare hash where nothing is written, so that it can be piped."""
    if path is None:
        click.echo(digest)
        return
    _write(path, data)
    click.echo(f"{title}: {digest}")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    click.echo(f"Wrote {path} ({len(data)} bytes).")


def _give_token(value: str, path: Path | None) -> None:
    if path is None:
        click.echo(value)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(value + "\n")
    click.echo(f"Wrote the token to {path}; start the host with HOST_TOKEN_FILE={path}.")


def _segment(name: str) -> str:
    if not name or not all(character.isalnum() or character in ".-" for character in name):
        raise CliError(f"{name!r} is not a host name.")
    return name


def _end(*, passed: Any) -> None:
    if not passed:
        sys.exit(FAILED)
