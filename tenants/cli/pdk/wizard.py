"""The wizard of `gf pdk new`: purpose, owner and guardians, trusted disks, specialisation, other files, review.

It only collects choices and typed secrets; what is made of them is made as for flags and for a file of choices. What a
step was given before, by flags or by going back, stands as the default of its questions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import click

from fabric.disks.errors import DiskError
from fabric.shielding.errors import ShieldingError
from hgs.keyprotection.certificates import grouped
from portal.cli.failure import CliError
from tenants.cli.files import write_file
from tenants.cli.guardian_store import store_from
from tenants.cli.owner import read_owner
from tenants.cli.pdk.choices import (
    DEFAULT_KIND,
    DEFAULT_POLICY,
    DEFAULT_RULE,
    KINDS,
    POLICIES,
    Choices,
    TrustedDisk,
)
from tenants.cli.pdk.choices_file import write_choices
from tenants.cli.pdk.making import Entered
from tenants.cli.pdk.wizard_answers import ask_answer_file, ask_rdp_certificate
from tenants.cli.prompting import (
    Back,
    ask,
    ask_file,
    ask_files,
    ask_text,
    choose,
    choose_some,
    confirm,
    heading,
    say,
)
from tenants.cli.trust import RULES, describe, find_guardian


@dataclass(frozen=True, slots=True)
class Draft:
    """What was answered so far."""

    choices: Choices
    entered: Entered = field(default_factory=Entered)
    force: bool = False


def ask_choices(choices: Choices, force: bool) -> tuple[Choices, Entered, bool]:
    """Ask step by step; gives choices, what was typed, and whether the file may be overwritten.

    Raises click.Abort when the user gives up, CliError where nobody answers.
    """
    say("This makes a shielding data file. Enter takes the answer in brackets, < goes back a step, Ctrl-C gives up.")
    draft, number = Draft(choices, force=force), 0
    visited: list[int] = []
    while number < len(_STEPS):
        applies, step = _STEPS[number]
        if not applies(draft.choices):
            number += 1
            continue
        try:
            draft = step(draft)
        except Back:
            number = visited.pop() if visited else 0
            continue
        visited.append(number)
        number += 1
    return draft.choices, draft.entered, draft.force


def _purpose(draft: Draft) -> Draft:
    heading("1  File, type and policy")
    given = draft.choices

    def check(text: str) -> tuple[Path, bool]:
        path = Path(text).expanduser()
        if not text or path.is_dir():
            raise click.UsageError("Name the file to write.")
        if not path.parent.is_dir():
            raise click.UsageError(f"There is no folder {path.parent}.")
        if path.exists() and not draft.force:
            return path, confirm(f"{path} exists. Overwrite it?", default=False)
        return path, True

    while True:
        out, free = ask("File to write", str(given.out or "new.pdk"), check=check)
        if free:
            break
    say("What it is for:")
    kinds = [("shielded-templates", "new virtual machines from signed template disks"),
             ("existing-vms", "virtual machines that exist already")]  # fmt: skip
    kind = choose("Type", kinds, given.type or DEFAULT_KIND)
    say("How far virtual machines are protected from the fabric:")
    policies = [("shielded", "no console, no way in but yours"),
                ("encryption-supported", "encrypted, but the fabric's administrators are trusted")]  # fmt: skip
    policy = choose("Policy", policies, given.policy or DEFAULT_POLICY)
    disks = given.trusted_disks if KINDS[kind] is KINDS[DEFAULT_KIND] else ()
    choices = replace(given, out=out, type=kind, policy=policy, trusted_disks=disks)
    return replace(draft, choices=choices, force=draft.force or out.exists())


def _people(draft: Draft) -> Draft:
    heading("2  Owner and guardians")
    given, known = draft.choices, store_from(draft.choices.store)

    def check(text: str) -> Path:
        path = Path(text).expanduser()
        if not path.is_file():
            raise click.UsageError(f"There is no file {text or 'of that name'}. Make one with: gf guardian new")
        say(f"  The owner is {read_owner(path).guardian.name}.")
        return path

    owner = ask("Your owner guardian file", str(given.owner or "owner.guardian"), check=check)
    names = known.names()
    named = [name for name in given.guardians if name not in names]
    if not names and not named:
        raise CliError("You know no guardian yet.", "Import the fabric's: gf guardian import METADATA --name NAME")
    options = [(name, grouped(find_guardian(name, known).fingerprint)) for name in (*names, *named)]
    say("Whose hosts may open it, by the SHA-256 of their signing certificates:")
    default = given.guardians or (names if len(names) == 1 else ())
    guardians = choose_some("Guardians", options, default)
    return replace(draft, choices=replace(given, owner=owner, guardians=guardians))


def _disks(draft: Draft) -> Draft:
    heading("3  Template disks that you trust")
    disks = list(draft.choices.trusted_disks)
    for disk in disks:
        say(f"  {describe(disk.resolve())['sentence']}")
    if disks and not confirm("Keep these?", default=True):
        disks = []
    while True:
        hint = "Enter for no more" if disks else "the publisher's .vsc file"
        catalog = ask_file(f"Catalog of a template disk ({hint})", needed=not disks)
        if catalog is None:
            return replace(draft, choices=replace(draft.choices, trusted_disks=tuple(disks)))
        added = _with_rule(catalog)
        if added is not None:
            disks.append(added)


def _with_rule(catalog: Path) -> TrustedDisk | None:
    """The disk of a catalog, None if the user does not want it after all or it is no catalog."""

    def check(text: str) -> TrustedDisk:
        found = TrustedDisk(catalog, rules[int(text) - 1][0] if text in ("1", "2", "3") else text)
        if found.rule not in RULES:
            raise click.UsageError("Answer with a number from 1 to 3.")
        return found

    try:
        found = TrustedDisk(catalog).resolve()
    except (DiskError, ShieldingError, CliError) as error:
        say(f"  {error.message}")
        return None
    say(f"  {found.disk_name}, version {found.version}, signed by {grouped(found.signer_fingerprint.hex())}")
    rules = [("equals", "exactly"), ("greater-than", "newer than"), ("greater-than-or-equals", "or newer than")]
    for number, (rule, words) in enumerate(rules, 1):
        say(f"  {number}  {rule}: {words} {found.version}")
    added = ask("Versions to trust", str(1 + list(RULES).index(DEFAULT_RULE)), check=check)
    return added if confirm("Trust it?", default=True) else None


def _answers(draft: Draft) -> Draft:
    heading("4  What new virtual machines are told")
    answer_file, made = ask_answer_file(draft.choices, draft.entered)
    choices = replace(draft.choices, answer_file=answer_file, admin_password_file=None)
    return replace(draft, choices=choices, entered=replace(draft.entered, answer_file=made))


def _files(draft: Draft) -> Draft:
    heading("5  Keys and other files")
    given = draft.choices
    keys = ask_files("SSH public key that may sign in", given.authorized_keys)
    script = ask_file("Script to run once in the machine (Enter for none)", given.configuration_script, needed=False)
    choices, entered = ask_rdp_certificate(given, draft.entered)
    names = dict(given.files)
    for path in ask_files("Another file to copy into it", tuple(names.values())):
        if path not in names.values():
            names[ask_text("Its name in the machine", path.name)] = path
    say("The machine gets an SSH host key; its public half tells you that it is yours.")
    line = ask_text(
        "Append it to this known_hosts file (Enter to see it only)", str(given.known_hosts or ""), needed=False
    )
    choices = replace(
        choices, authorized_keys=keys, configuration_script=script, files=tuple(names.items()),
        known_hosts=Path(line).expanduser() if line else None,
    )  # fmt: skip
    return replace(draft, choices=choices, entered=entered)


def _recovery(draft: Draft) -> Draft:
    heading("6  Recovery")
    say("A host can leave you a second key for each disk, sealed so that you alone can open it, for the day on which a")
    say("machine's virtual TPM is lost. Without it such a disk is lost, too.")
    wish = confirm("Leave a recovery key?", default=draft.choices.escrow_recovery_key is not False)
    return replace(draft, choices=replace(draft.choices, escrow_recovery_key=wish))


def _review(draft: Draft) -> Draft:
    heading("7  Review")
    for title, text in _summary(draft):
        say(f"  {title + ':':<16}{text}")
    save = ask_text("Save these choices, without anything secret, as (Enter: do not)", needed=False)
    if save:
        _save(draft, Path(save).expanduser())
    if not confirm("Write the file?", default=True):
        raise click.Abort
    return draft


def _save(draft: Draft, path: Path) -> None:
    text = write_choices(draft.choices, path.parent)
    if draft.entered.answer_file is not None:
        text = "# Its answer file was made in the wizard and is secret, so it is not here.\n" + text
    force = path.exists() and confirm(f"{path} exists. Overwrite it?", default=False)
    if path.exists() and not force:
        return
    write_file(path, text.encode(), force=force)
    say(f"  {path} is written. Use it with: gf pdk new --from {path}")


def _summary(draft: Draft) -> list[tuple[str, str]]:
    given = draft.choices
    disks = "; ".join(describe(disk.resolve())["sentence"] for disk in given.trusted_disks)
    answer_file = "made here" if draft.entered.answer_file is not None else str(given.answer_file or "none")
    files = [*(str(path) for path in given.authorized_keys), *(name for name, _ in given.files)]
    files += [str(path) for path in (given.configuration_script, given.rdp_certificate) if path]
    lines = [
        ("File", str(given.out)),
        ("Type", str(KINDS[given.type or DEFAULT_KIND])),
        ("Policy", str(POLICIES[given.policy or DEFAULT_POLICY])),
        ("Owner", str(given.owner)),
        ("Guardians", ", ".join(given.guardians)),
        ("Trusted disks", disks or "none"),
        ("Answer file", answer_file),
        ("Files", ", ".join(files) or "none"),
        ("Recovery key", "none" if given.escrow_recovery_key is False else "escrow"),
    ]
    return lines if given.for_templates else [line for line in lines if line[0] not in ("Trusted disks", "Answer file")]


def _always(_: Choices) -> bool:
    return True


def _for_templates(choices: Choices) -> bool:
    return choices.for_templates


_STEPS: Final[tuple[tuple[Callable[[Choices], bool], Callable[[Draft], Draft]], ...]] = (
    (_always, _purpose),
    (_always, _people),
    (_for_templates, _disks),
    (_for_templates, _answers),
    (_always, _files),
    (_always, _recovery),
    (_always, _review),
)
