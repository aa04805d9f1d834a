"""The service itself: its secrets, its door to the fabric, what waits for a decision."""

import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final

from django.conf import settings

from hgs import pkcs11
from hgs.checks import MINIMUM_TOKEN_LENGTH
from hgs.models import ServiceKey, Submission, SubmissionState
from hgs.sealing import SealingError, older_master_keys, unseal
from hgs.selectors.master_keys import Known, needed_master_keys
from hgs.trace.findings import Diagnostic, Facts, Told, counted, failed, passed, warning
from portal.kernel.errors import Unavailable

WAITS_LONG: Final = timedelta(days=7)


def sealed_keys(_facts: Facts) -> Iterable[Told]:
    """Every key in use opens under this node's master key, as far as it is in the database."""
    enabled = list(ServiceKey.objects.filter(is_enabled=True, pkcs11_uri=""))
    for key in enabled:
        try:
            unseal(bytes(key.sealed_key), purpose=key.purpose, record_id=key.id)
        except SealingError as error:
            remedy = "Give this node the master key under which HGS was initialised, or restore database and key."
            yield failed(f"{key} does not open: {error.message}", remedy)
            return
    yield passed(f"All {len(enabled)} keys in use open.")


def tokens(_facts: Facts) -> Iterable[Told]:
    """Every key in use that stays in a token is found there."""
    enabled = list(ServiceKey.objects.filter(is_enabled=True).exclude(pkcs11_uri=""))
    for key in enabled:
        try:
            pkcs11.answers(key.pkcs11_uri)
        except Unavailable as error:
            yield failed(f"{key} is in a token and cannot be used: {error.message}", error.advice)
            return
    if enabled:
        yield passed(f"{counted(len(enabled), 'key')} in tokens can be used.")


def master_key_file(_facts: Facts) -> Iterable[Told]:
    """The master key lies in no file that others can read."""
    for path in _secret_files():
        try:
            mode = path.stat().st_mode
        except OSError:
            continue
        if mode & 0o077:
            yield warning(
                f"{path} holds the master key of HGS, and others than its owner can read it.", f"chmod 600 {path}"
            )
            return
    yield passed("The master key lies in no file that others can read.")


def _secret_files() -> list[Path]:
    """The files that this process has its master keys from."""
    named = [os.environ.get(f"{name}_FILE", "") for name in ("HGS_MASTER_KEY", "HGS_MASTER_KEY_OLD")]
    embedded = Path(settings.VAR_DIR) / "env" / "hgs.env"
    return [Path(name) for name in named if name] or [embedded]


def older_keys(_facts: Facts) -> Iterable[Told]:
    """No older master key is kept where nothing needs it, and nothing is left under an older one."""
    counts = needed_master_keys()
    older = len(older_master_keys())
    if counts[Known.OLDER]:
        yield warning(
            f"{counted(counts[Known.OLDER], 'key is', 'keys are')} sealed under an older master key.",
            "Once every node knows the new one: gf hgs rewrap",
        )
    elif older and not counts[Known.UNKNOWN]:
        yield warning(
            f"{counted(older, 'older master key')} given to this node, and nothing is sealed under them any more.",
            "Remove HGS_MASTER_KEY_OLD from the environment of every node.",
        )
    elif not older:
        yield passed("No older master key is in use.")


def fabric_token(_facts: Facts) -> Iterable[Told]:
    """The fabric can submit and read, and nobody guesses how."""
    token = settings.HGS_FABRIC_TOKEN
    remedy = "Set HGS_FABRIC_TOKEN to the same random text, at least 24 characters, here and at the portal."
    if not token:
        yield warning("The fabric can neither submit nor read verdicts: it has no token.", remedy)
    elif len(token) < MINIMUM_TOKEN_LENGTH:
        yield failed("The fabric's token is short enough to be guessed.", remedy)
    else:
        yield passed("The fabric has a token of its own.")


def automatic_approval(_facts: Facts) -> Iterable[Told]:
    """A person decides what is trusted."""
    if settings.HGS_AUTO_APPROVE:
        yield warning(
            "Automatic approval is on: whatever the fabric submits is trusted at once.",
            "Outside a lab, unset HGS_AUTO_APPROVE and restart every node.",
        )
    else:
        yield passed("A person decides what HGS trusts.")


def waiting_submissions(facts: Facts) -> Iterable[Told]:
    """Nothing waits for a decision for ever."""
    pending = Submission.objects.filter(state=SubmissionState.PENDING)
    old = pending.filter(submitted_at__lt=facts.now - WAITS_LONG).count()
    if old:
        waits = "submission waits" if old == 1 else "submissions wait"
        yield warning(f"{old} {waits} for a decision for more than {WAITS_LONG.days} days.", "Decide: gf hgs approvals")
    else:
        yield passed(f"{counted(pending.count(), 'submission waits', 'submissions wait')}, none for long.")


DIAGNOSTICS: Final = (
    Diagnostic("sealed-keys", "Keys open", "Service", sealed_keys),
    Diagnostic("tokens", "Keys in tokens", "Service", tokens),
    Diagnostic("master-key", "Master key", "Service", master_key_file),
    Diagnostic("older-master-keys", "Older master keys", "Service", older_keys),
    Diagnostic("fabric-token", "The fabric's token", "Service", fabric_token),
    Diagnostic("automatic-approval", "Approval", "Service", automatic_approval),
    Diagnostic("waiting-submissions", "Submissions", "Service", waiting_submissions),
)
