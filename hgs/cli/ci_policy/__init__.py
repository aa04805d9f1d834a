"""``gf ci-policy``: code-integrity policies in files: show, make, convert, compare and try them. Needs no server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import click

from hgs.attestation.ci_policy import (
    Allowed,
    Answer,
    Evaluator,
    PolicyBuilder,
    PolicyDifference,
    PolicyDocument,
    PolicyOption,
    Refused,
    ScenarioValue,
    Version,
    compare_documents,
    compare_policies,
    parse_ci_policy,
    write_policy_xml,
)
from hgs.cli.ci_policy.files import answer_options, is_xml, read_document, read_policy, write
from hgs.cli.ci_policy.pe import Image
from hgs.cli.ci_policy.report import FIELDS, report
from hgs.cli.ci_policy.scan import Level, Scan, Written, allow, scan
from hgs.cli.evidence.files import DIFFERENT, UNUSABLE, file_type, offline, read_file, show_json
from portal.cli.failure import CliError
from portal.cli.output import printable, show_record, show_rows

_NEW: Final = PolicyOption.UNSIGNED_POLICY | PolicyOption.USER_MODE | PolicyOption.ADVANCED_BOOT_MENU
_MARKS: Final = {"added": "+", "removed": "-", "changed": "~"}
_OUT: Final = click.Path(dir_okay=False, path_type=Path)
_LEVELS: Final = click.Choice([level.value for level in Level])


class _VersionType(click.ParamType[Version]):
    name = "version"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Version:
        if isinstance(value, tuple):
            return value  # the default, as it is
        parts = str(value).split(".")
        if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) <= 0xFFFF for part in parts):
            self.fail(f"{value!r} is no version such as 10.0.0.0.", param, ctx)
        major, minor, build, revision = map(int, parts)
        return major, minor, build, revision


@click.group()
def ci_policy() -> None:
    """Code-integrity policies: show, make, convert, compare and try them (offline)."""


@ci_policy.command()
@click.argument("file", type=file_type())
@answer_options
@offline
def show(file: Path, as_json: bool) -> None:
    """Explain the policy FILE, signed or not, binary or XML.

    The digest is what hosts measure and what HGS registers; for XML, that of the binary `convert` makes.
    """
    policy = read_policy(file)
    document = read_document(file) if is_xml(read_file(file, 64)) else policy.document
    found = report(policy, document)
    if as_json:
        show_json(found)
    else:
        show_record(found, [field for field in FIELDS if found.get(field[0]) not in (None, "", [], ())], "table")


@ci_policy.command()
@click.option("--scan", "folders", type=click.Path(exists=True, path_type=Path), multiple=True, required=True)
@click.option("--level", type=_LEVELS, default="publisher", show_default=True, help="What rules name.")
@click.option(
    "--fallback", type=click.Choice(["hash", "none"]), default="hash", show_default=True, help="For the rest."
)
@click.option("--audit/--enforce", default=True, help="Only log what is not allowed (default), or refuse it.")
@click.option("--kernel-only", is_flag=True, help="Drivers alone; programs are left unchecked.")
@click.option("--name", default="", help="Name of the policy.")
@click.option("--version", type=_VersionType(), default=(10, 0, 0, 0), help="Version, 10.0.0.0 unless given.")
@click.option("--policy-id", type=click.UUID, help="Id of the policy (default: a new one).")
@click.option("-o", "--out", type=_OUT, required=True, help="XML file to write.")
@answer_options
@offline
def new(
    folders: tuple[Path, ...],
    level: str,
    fallback: str,
    audit: bool,
    kernel_only: bool,
    name: str,
    version: Version,
    policy_id: UUID | None,
    out: Path,
    as_json: bool,
) -> None:
    """Make a policy that allows what is found below a folder (--scan, more than once if need be).

    Level `publisher` allows all that a publisher signs, `file-publisher` its files of the same name from the same
    version on, `hash` these very files. What has no signature of its own is allowed by hash: many drivers of Windows
    are signed in catalogs, which are not read.
    """
    found = scan(folders)
    builder = PolicyBuilder()
    images = [image for image in found.images if image.drivers or not kernel_only]
    written = [
        (image, allow(builder, image, Level(level), Level.HASH if fallback == "hash" else None)) for image in images
    ]
    if not any(isinstance(item, Written) for _, item in written):
        raise CliError(
            "No image was found that a policy could allow.", "Name a folder with drivers.", exit_code=UNUSABLE
        )
    options = int(_NEW | (PolicyOption.AUDIT_MODE if audit else 0))
    if kernel_only:
        options &= ~int(PolicyOption.USER_MODE)
    document = builder.build(options, version, name=name or folders[0].resolve().name, policy_id=policy_id or uuid4())
    write(out, write_policy_xml(document))
    _show_scan(found, written, as_json)


def _show_scan(found: Scan, written: list[tuple[Image, Written | str]], as_json: bool) -> None:
    rows = [
        {
            "file": str(image.path),
            "kind": "driver" if image.drivers else "program",
            "allowed_by": item.level.value if isinstance(item, Written) else "nothing",
            "publisher": image.signatures[0].publisher if image.signatures else "",
            "reason": item.reason if isinstance(item, Written) else item,
        }
        for image, item in written
    ]
    rows += [
        {"file": str(path), "kind": "skipped", "allowed_by": "nothing", "reason": why} for path, why in found.skipped
    ]
    columns = (("kind", "Kind"), ("allowed_by", "Allowed by"), ("publisher", "Publisher"), ("file", "File"))
    show_rows(rows, (*columns, ("reason", "Remark")), "json" if as_json else "table")


@ci_policy.command()
@click.argument("file", type=file_type())
@click.option("-o", "--out", type=_OUT, required=True, help="File to write.")
@click.option("--audit/--enforce", default=None, help="Switch audit mode on or off.")
@click.option("--version", type=_VersionType(), help="Give the policy this version.")
@click.option("--format", "format_version", type=click.IntRange(1, 11), help="Format of the binary (default: 7).")
@offline
def convert(file: Path, out: Path, audit: bool | None, version: Version | None, format_version: int | None) -> None:
    """Convert FILE: XML to the binary that hosts load, a binary to XML.

    Names of rules are in XML alone. A signed file's signature does not survive.
    """
    to_binary = is_xml(read_file(file, 64))
    document = read_document(file)
    if audit is not None:
        options = document.options & ~int(PolicyOption.AUDIT_MODE)
        document = replace(document, options=int(options | (PolicyOption.AUDIT_MODE if audit else 0)))
    document = replace(document, version=version or document.version)
    if not to_binary:
        write(out, write_policy_xml(document))
        return
    content = _in_format(document, format_version).serialise()
    write(out, content)
    click.echo(f"Measured digest (SHA-256): {parse_ci_policy(content).digest}")


def _in_format(document: PolicyDocument, format_version: int | None) -> PolicyDocument:
    if format_version is None:
        return document
    body = document.body
    if format_version < 6 and {body.policy_id, body.base_policy_id} == {document.policy_type}:
        body = replace(body, policy_id=None, base_policy_id=None)
    return replace(document, format_version=format_version, body=body)


@ci_policy.command()
@click.argument("old", type=file_type())
@click.argument("new", type=file_type())
@answer_options
@click.pass_context
@offline
def diff(context: click.Context, old: Path, new: Path, as_json: bool) -> None:
    """Say what the policy NEW allows or asks for that OLD does not, and the reverse. `!` marks what lets more run.

    Exit code 0: the same; 1: different; 2: one cannot be read.
    """
    found = _compare(old, new)
    if as_json:
        show_json([item.__dict__ for item in found])
    else:
        for item in found:
            click.echo(f"{_MARKS[item.kind]}{'!' if item.weakens else ' '} {printable(item.sentence)}")
        if not found:
            click.echo("The policies say the same.")
    if found:
        context.exit(DIFFERENT)


def _compare(old: Path, new: Path) -> tuple[PolicyDifference, ...]:
    policies = read_policy(old), read_policy(new)
    if any(policy.document is None for policy in policies):
        return compare_policies(*policies)
    return compare_documents(read_document(old), read_document(new))


@ci_policy.command()
@click.argument("policy", type=file_type())
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True)
@answer_options
@click.pass_context
@offline
def check(context: click.Context, policy: Path, paths: tuple[Path, ...], as_json: bool) -> None:
    """Ask POLICY about images: files, or all images below a folder. Signatures are read, not verified.

    Exit code 0: all are allowed; 1: at least one is not, or it cannot be told; 2: the policy cannot be read.
    """
    document = read_document(policy)
    found = scan(paths)
    rows = list(_answers(document, found))
    show_rows(rows, (("answer", "Answer"), ("image", "Image"), ("why", "Why")), "json" if as_json else "table")
    if any(row["answer"] != "allowed" for row in rows):
        context.exit(DIFFERENT)


def _answers(document: PolicyDocument, found: Scan) -> Iterator[dict[str, str]]:
    by_kind = {
        drivers: Evaluator(document.body, scenario, options=document.options)
        for drivers, scenario in ((True, ScenarioValue.KERNEL), (False, ScenarioValue.USER_MODE))
    }
    checks_programs = bool(document.options & PolicyOption.USER_MODE)
    for image in found.images:
        if image.drivers or checks_programs:
            answer, why = _in_words(by_kind[image.drivers].ask(image.facts()))
        else:
            answer, why = "allowed", "the policy leaves programs unchecked"
        yield {"answer": answer, "image": str(image.path), "why": why}
    for path, why in found.skipped:
        yield {"answer": "skipped", "image": str(path), "why": why}


def _in_words(answer: Answer) -> tuple[str, str]:
    if isinstance(answer, Allowed):
        return "allowed", answer.rule
    return ("refused", answer.reason) if isinstance(answer, Refused) else ("undecided", answer.why)
