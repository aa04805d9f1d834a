"""Policies given on the command line, in either form."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from hgs.attestation.ci_policy import CiPolicy, PolicyDocument, parse_ci_policy, read_policy_xml
from hgs.cli.evidence.files import UNUSABLE, json_option, read_file
from portal.cli.failure import CliError
from portal.cli.output import output_option

MAX_FILE = 16 * 1024 * 1024
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
R = TypeVar("R")


def answer_options(command: Callable[..., R]) -> Callable[..., R]:
    """Add `--output table|json` and `--json`, its short form; the command gets ``as_json``."""

    @wraps(command)
    def run(*args: Any, output: str, as_json: bool, **kwargs: Any) -> R:
        return command(*args, as_json=as_json or output == "json", **kwargs)

    return output_option(json_option(run))


def is_xml(data: bytes) -> bool:
    """Whether a policy file is in the XML form."""
    return data.startswith(_MARKS) or data.lstrip()[:1] == b"<"


def read_policy(path: Path) -> CiPolicy:
    """A policy in a file, XML or binary; XML is taken as the binary that it converts to. Raises AttestationError."""
    data = read_file(path, MAX_FILE)
    return parse_ci_policy(read_policy_xml(data).serialise()) if is_xml(data) else parse_ci_policy(data)


def read_document(path: Path) -> PolicyDocument:
    """A policy in a file, whole, with the names that its XML form has. Raises AttestationError, CliError."""
    data = read_file(path, MAX_FILE)
    if is_xml(data):
        return read_policy_xml(data)
    policy = parse_ci_policy(data)
    if policy.document is None:
        raise CliError(f"The rules of the policy cannot be read: {policy.unreadable}.", exit_code=UNUSABLE)
    return policy.document


def write(path: Path, data: bytes) -> None:
    """Write a file and say so. Raises CliError."""
    try:
        path.write_bytes(data)
    except OSError as error:
        reason = error.strerror or error
        raise CliError(f"{path}: {reason}.", "Check the path and its permissions.", exit_code=UNUSABLE) from error
    click.echo(f"Wrote {path} ({len(data)} bytes).", err=True)
