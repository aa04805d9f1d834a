"""`gf key-protector regrant`: everything in a work file of the portal at once, for a new guardian. Works offline."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from hgs.keyprotection import certificates
from hgs.keyprotection.certificates import grouped
from hgs.keyprotection.guardian import Guardian
from hgs.keyprotection.revocation import NOTICE_MAX, parse_notice
from portal.cli.failure import FAILED, CliError
from portal.cli.output import Format, output_option, printable, show_record
from tenants.cli.files import read_limited, write_file
from tenants.cli.guardian import STORE_OPTION
from tenants.cli.guardian_store import GuardianStore, signing_fingerprints, store_from
from tenants.cli.owner import EXISTING, WRITABLE, unlock_owner
from tenants.cli.trust import find_guardian
from tenants.rollover.bundle import FILE_MAX, Bundle, BundleKind, ObjectKind, WantedGuardian, read_bundle, write_bundle
from tenants.rollover.regranting import Change, LeftOut, Regranted, guardians_of, regrant

_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")
_KINDS = {ObjectKind.VM: "virtual machine", ObjectKind.SHIELDING_DATA: "shielding data"}


@click.command()
@click.argument("work", type=EXISTING)
@click.option("--owner", type=EXISTING, required=True, help="Your owner guardian file.")
@click.option("--passphrase-file", type=EXISTING, help="File whose only line is its passphrase; asked for otherwise.")
@click.option("--guardian", "name", required=True, help="Name of the imported guardian to let in.")
@click.option("--keep-old", is_flag=True, help="Leave the guardian's earlier keys in, too.")
@click.option(
    "--revoke-old", "old", multiple=True,
    help="Another guardian to put out, by its name or a certificate's fingerprint. Repeatable.",
)  # fmt: skip
@click.option(
    "--notice", "notices", multiple=True, type=EXISTING,
    help="A revocation notice of yours: what it names is not made valid again. Repeatable.",
)  # fmt: skip
@click.option("--out", "-o", type=WRITABLE, required=True, help="Result to write, for the portal.")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@STORE_OPTION
@output_option
def regrant_all(
    work: Path,
    owner: Path,
    passphrase_file: Path | None,
    name: str,
    keep_old: bool,
    old: tuple[str, ...],
    notices: tuple[Path, ...],
    out: Path,
    force: bool,
    store: Path | None,
    output: Format,
) -> None:
    """Move every virtual machine and shielding data file in WORK, a file that the portal made, to a guardian.

    Its earlier keys are put out, unless they are to be kept; other guardians stay unless they are named. Ends with
    exit code 1 if anything had to be left out; what could be done is written all the same.
    """
    if out.exists() and not force:
        raise CliError(f"{out} exists already.", "Choose another name, or overwrite it with --force.")
    known = store_from(store)
    guardian = find_guardian(name, known)
    with work.open("rb") as file:
        bundle = read_bundle(file, BundleKind.WORK)
    _check_wanted(bundle.guardian, guardian, name)
    without = [] if keep_old else list(signing_fingerprints(guardian))
    without += [fingerprint for one in old for fingerprint in _fingerprints(one, known)]
    revoked = [parse_notice(read_limited(path, NOTICE_MAX)) for path in notices]
    change = Change(unlock_owner(owner, passphrase_file), guardian, without, revoked)
    results: list[Regranted | LeftOut] = []
    for number, item in enumerate(bundle.items, 1):
        results.append(result := regrant(item, change, os.urandom))
        word = "re-granted" if isinstance(result, Regranted) else f"left out: {result.reason}"
        click.echo(printable(f"{number} of {len(bundle.items)}: {_KINDS[item.kind]} {item.name}: {word}"), err=True)
    _finish(bundle, results, out, force, known, output)


def _finish(
    bundle: Bundle,
    results: Iterable[Regranted | LeftOut],
    out: Path,
    force: bool,
    known: GuardianStore,
    output: Format,
) -> None:
    done = [result.item for result in results if isinstance(result, Regranted)]
    left = [result for result in results if isinstance(result, LeftOut)]
    failed = [result for result in left if not result.is_current]
    if done:
        _write(out, Bundle(BundleKind.RESULT, bundle.guardian, tuple(done)), force)
    record = {
        "path": str(out) if done else "",
        "regranted": len(done),
        "guardians": _named({fingerprint for item in done for fingerprint in guardians_of(item)}, known),
        "current": len(left) - len(failed),
        "left_out": [_left_out(result, output) for result in failed],
    }
    fields = (
        ("path", "Result"), ("regranted", "Re-granted"), ("guardians", "Can be opened by"),
        ("current", "Already current"), ("left_out", "Left out"),
    )  # fmt: skip
    show_record(record, fields, output)
    if failed:
        raise CliError(
            f"{len(failed)} of {len(done) + len(left)} objects could not be re-granted.",
            "Upload the result all the same, if there is one; run it again with their owner guardian for the rest.",
            exit_code=FAILED,
        )
    if output == "table" and done:
        click.echo("Upload the result in the portal; the machines' hosts then take it over.")


def _named(fingerprints: Iterable[str], known: GuardianStore) -> list[str]:
    """Everybody whom the owner's signatures let in, by name where it was imported: to be looked at."""
    names = {one: name for name in known.names() for one in signing_fingerprints(known.load(name).guardian)}
    return [f"{grouped(one)} ({names.get(one, 'never imported here')})" for one in sorted(fingerprints)]


def _left_out(result: LeftOut, output: Format) -> Any:
    item = result.item
    if output == "json":
        return {"kind": item.kind.value, "id": item.id, "name": item.name, "code": result.code, "reason": result.reason}
    return f"{_KINDS[item.kind]} {item.name}: {result.reason}"


def _write(out: Path, bundle: Bundle, force: bool) -> None:
    target = io.BytesIO()
    write_bundle(target, bundle)
    if len(target.getbuffer()) > FILE_MAX:
        raise CliError("The result is larger than the portal takes.", "Work on fewer objects at once.")
    write_file(out, target.getvalue(), force=force)


def _check_wanted(wanted: WantedGuardian, guardian: Guardian, name: str) -> None:
    """The portal says which guardian it needs; whom to trust is decided by what was imported here."""
    found = guardian.fingerprint, certificates.fingerprint(guardian.encryption_certificate)
    if found != (wanted.signing, wanted.encryption):
        raise CliError(
            f"The work file asks for another guardian than {name}.",
            "Download the fabric's guardian again, compare its fingerprint with the HGS administrator, and import it: "
            f"gf guardian import fabric-guardian.xml --name {name}",
            details=(
                f"asked for: signing {grouped(wanted.signing)}, encryption {grouped(wanted.encryption)}",
                f"{name}: signing {grouped(found[0])}, encryption {grouped(found[1])}",
            ),
        )


def _fingerprints(text: str, store: GuardianStore) -> tuple[str, ...]:
    """A fingerprint as given, or all signing certificates of a guardian by its name in the store, earlier ones too."""
    bare = re.sub(r"[\s:\-]", "", text)
    return (bare.lower(),) if _FINGERPRINT.fullmatch(bare) else signing_fingerprints(store.load(text).guardian)
