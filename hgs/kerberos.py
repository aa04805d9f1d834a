"""Kerberos at the door of HGS: who asks, proven by a ticket of the domain.

The ticket is checked by the Kerberos library (``gssapi``) against the keytab of HGS's service account, with its replay
cache on. The account's groups come from the authorisation data of the ticket, and only if the library verified the
domain controller's signature over them.

A ticket says who, not what for: whoever could change a request on its way could put a key of their own into it. So
hosts of this project bind the ticket to the request (GSS-API channel bindings over the request's SHA-256), and a ticket
that is bound to anything else, or to nothing, is refused. HGS_TICKET_BINDING can allow more: then whoever a host shows
an unbound ticket to can hand it on, and the verdict says so.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from django.conf import settings

from hgs.attestation.errors import AttestationError
from hgs.attestation.pac import DomainAccount, read_pac
from hgs.wire.negotiate import MAX_TOKEN, binding_of
from portal.kernel.errors import Unavailable

REQUIRE, CHECK, IGNORE = "require", "check", "ignore"
BINDINGS: Final = (REQUIRE, CHECK, IGNORE)
"""HGS_TICKET_BINDING: tickets must be bound to their request; may be bound to nothing; may be bound to anything."""
_PAC_ATTRIBUTE: Final = b"urn:mspac:"
_INSTALL: Final = "Install Python's gssapi (the extra named ad) and the Kerberos libraries, then restart HGS."


class TicketRefused(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A token that proves nothing; the message is for HGS's own log. ``token``: an answer for the client, if any."""

    def __init__(self, message: str, token: bytes = b"") -> None:
        super().__init__(message)
        self.message = message
        self.token = token


@dataclass(frozen=True)
class Client:
    """Who asks. ``token``: HGS's own proof for the client; ``is_bound``: the ticket covers the request itself."""

    principal: str
    account: DomainAccount
    token: bytes
    is_bound: bool


def accept(token: bytes, body: bytes) -> Client:
    """Check a client's token for a request with this body.

    Raises TicketRefused, and Unavailable where this HGS cannot check tickets at all.
    """
    gssapi, raw = _library()
    if not token or len(token) > MAX_TOKEN:
        raise TicketRefused("The token is empty or too long.")
    bindings = raw.ChannelBindings(application_data=binding_of(body)) if settings.HGS_TICKET_BINDING != IGNORE else None
    try:
        answer = raw.accept_sec_context(token, _credentials(), None, bindings)
    except raw.GSSError as error:
        raise TicketRefused(_reason(error), error.token or b"") from error
    if answer.more_steps or answer.initiator_name is None or answer.mech != gssapi.MechType.kerberos:
        raise TicketRefused("The token is not one whole Kerberos exchange.")
    principal = raw.display_name(answer.initiator_name).name.decode("utf-8", "replace")[:256]
    is_bound = bindings is not None and raw.RequirementFlag.channel_bound in answer.flags
    if not is_bound and settings.HGS_TICKET_BINDING == REQUIRE:
        raise TicketRefused(f"The ticket of {principal} is bound to no request. HGS_TICKET_BINDING=check allows that.")
    account = _account(raw, answer.initiator_name, principal)
    return Client(principal, account, token=answer.token or b"", is_bound=is_bound)


def problem() -> Unavailable | None:
    """What keeps this HGS from checking tickets; None where nothing does."""
    try:
        _library()
        _credentials()
    except Unavailable as error:
        return error
    return None


def _account(raw: Any, name: Any, principal: str) -> DomainAccount:
    try:
        attribute = raw.get_name_attribute(name, _PAC_ATTRIBUTE)
    except raw.GSSError as error:
        raise TicketRefused(f"The ticket of {principal} says nothing about groups.") from error
    if not attribute.authenticated or len(attribute.values) != 1:
        raise TicketRefused(f"The groups in the ticket of {principal} are not signed by its domain.")
    try:
        return read_pac(bytes(attribute.values[0]))
    except AttestationError as error:
        raise TicketRefused(f"The groups in the ticket of {principal} cannot be read. {error.message}") from error


def _library() -> tuple[ModuleType, ModuleType]:
    try:
        import gssapi
        import gssapi.raw
    except ImportError as error:
        raise Unavailable(
            "kerberos-not-installed", f"Python's gssapi cannot be used: {error}. HGS can check no tickets.", _INSTALL
        ) from error
    return gssapi, gssapi.raw


def _credentials() -> Any:
    if not settings.HGS_KEYTAB:
        raise Unavailable(
            "no-keytab",
            "HGS has no keytab, so it can check no tickets.",
            "Export the keytab of HGS's service account and name the file in HGS_KEYTAB.",
        )
    if not Path(settings.HGS_KEYTAB).is_file():
        raise Unavailable(
            "keytab-missing", f"HGS_KEYTAB names {settings.HGS_KEYTAB}, which is no file.", "Put the keytab there."
        )
    try:
        return _acquired(settings.HGS_KEYTAB, settings.HGS_SERVICE_PRINCIPAL)
    except _library()[1].GSSError as error:
        raise Unavailable(
            "keytab-unusable",
            f"The keytab {settings.HGS_KEYTAB} cannot be used: {_reason(error)}",
            "Export it again, for the service principal that hosts ask tickets for.",
        ) from error


@lru_cache(maxsize=4)
def _acquired(keytab: str, principal: str) -> Any:
    """Credentials of the acceptor. They name the file: each ticket is checked against what it holds then."""
    gssapi, raw = _library()
    name = gssapi.Name(principal, gssapi.NameType.kerberos_principal) if principal else None
    mechs = [gssapi.MechType.kerberos, gssapi.OID.from_int_seq("1.3.6.1.5.5.2")]
    return raw.acquire_cred_from({b"keytab": keytab.encode()}, name=name, mechs=mechs, usage="accept").creds


def _reason(error: Any) -> str:
    """The library's own words, on one line."""
    return " ".join(str(error).split())[:300]
