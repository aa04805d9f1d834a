"""System checks of the HGS role: what must be set before it serves."""

from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from hgs import kerberos
from hgs.sealing import master_key, older_master_keys

MINIMUM_TOKEN_LENGTH = 24


_FORMS: Final = {"BYTES": ("base64", "array"), "GUIDS": ("text", "base64")}


@checks.register
def check_wire_forms(**_: Any) -> list[checks.CheckMessage]:
    """Each way of writing bytes and GUIDs is one that there is."""
    return [
        checks.Error(
            f"HGS_WIRE_V{version}_{what} is {value!r}.", hint=f"Set it to {' or '.join(known)}.", id="hgs.E003"
        )
        for version in (1, 2)
        for what, known in _FORMS.items()
        if (value := getattr(settings, f"HGS_WIRE_V{version}_{what}")) not in known
    ]


@checks.register
def check_secrets(**_: Any) -> list[checks.CheckMessage]:
    """A master key is present; the fabric token, if there is one, is long enough not to be guessed."""
    found: list[checks.CheckMessage] = []
    try:
        master_key()
    except ImproperlyConfigured as error:
        found.append(checks.Error(str(error), hint="Set HGS_MASTER_KEY or HGS_MASTER_KEY_FILE.", id="hgs.E001"))
    token = settings.HGS_FABRIC_TOKEN
    if not token:
        found.append(
            checks.Warning(
                "HGS_FABRIC_TOKEN is not set: the fabric can neither submit nor read verdicts.",
                hint="Set HGS_FABRIC_TOKEN or HGS_FABRIC_TOKEN_FILE to the same value here and at the portal.",
                id="hgs.W001",
            )
        )
    elif len(token) < MINIMUM_TOKEN_LENGTH:
        found.append(
            checks.Error("HGS_FABRIC_TOKEN is too short.", hint="Use at least 24 random characters.", id="hgs.E002")
        )
    if settings.HGS_AUTO_APPROVE:
        found.append(
            checks.Warning(
                "HGS_AUTO_APPROVE is on: whatever the fabric submits is trusted at once.",
                hint="Turn it off outside a lab.",
                id="hgs.W002",
            )
        )
    return found


@checks.register
def check_older_master_keys(**_: Any) -> list[checks.CheckMessage]:
    """Older master keys can be used, and the present one is none of them."""
    try:
        older = older_master_keys()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="Set HGS_MASTER_KEY_OLD or HGS_MASTER_KEY_OLD_FILE.", id="hgs.E020")]
    if settings.HGS_MASTER_KEY and settings.HGS_MASTER_KEY in older:
        return [
            checks.Warning(
                "HGS_MASTER_KEY is one of HGS_MASTER_KEY_OLD: nothing is being replaced.",
                hint="Set HGS_MASTER_KEY to the new key, and leave the older ones alone in HGS_MASTER_KEY_OLD.",
                id="hgs.W020",
            )
        ]
    return []


@checks.register
def check_kerberos(**_: Any) -> list[checks.CheckMessage]:
    """Where a keytab is named, tickets can be checked with it, and nobody else reads it."""
    found: list[checks.CheckMessage] = []
    if settings.HGS_TICKET_BINDING not in kerberos.BINDINGS:
        known = ", ".join(kerberos.BINDINGS)
        found.append(checks.Error(f"HGS_TICKET_BINDING is none of {known}.", hint="Leave it unset.", id="hgs.E010"))
    if not settings.HGS_KEYTAB:
        return found
    if settings.HGS_TICKET_BINDING in (kerberos.CHECK, kerberos.IGNORE):
        found.append(
            checks.Warning(
                f"HGS_TICKET_BINDING is {settings.HGS_TICKET_BINDING}: tickets count that are not bound to a request. "
                "Whoever gets a host to show them such a ticket for HGS can send it on with a key of their own.",
                hint="Leave it unset unless hosts of another make need it; then serve HTTPS alone.",
                id="hgs.W011",
            )
        )
    if (problem := kerberos.problem()) is not None:
        found.append(checks.Error(problem.message, hint=problem.advice, id="hgs.E011"))
    elif Path(settings.HGS_KEYTAB).stat().st_mode & 0o077:
        found.append(
            checks.Warning(
                f"Others than HGS can read the keytab {settings.HGS_KEYTAB}.",
                hint="Whoever reads it can make tickets that HGS accepts. chmod 600, and give it to HGS's account.",
                id="hgs.W010",
            )
        )
    return found
