"""The host's side of Kerberos: a ticket for HGS, bound to one request, and the check of HGS's answer.

The computer account's key comes from a keytab: HOST_KEYTAB, or `host.keytab` in the host's state folder; without
either, whatever credentials the environment has. Tickets are kept in memory and for one attestation only.
"""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from fabric.hyperv.errors import KerberosError
from hgs.client import TicketSource
from hgs.wire.errors import NegotiateError
from hgs.wire.negotiate import binding_of

_SPNEGO = "1.3.6.1.5.5.2"


def service_principal(hgs_url: str, configured: str = "") -> str:
    """The Kerberos principal of HGS: the configured one, else `HTTP/` and the name in its address."""
    return configured or f"HTTP/{urlsplit(hgs_url).hostname or ''}"


def ticket_source(principal: str, keytab: Path | None) -> TicketSource:
    """Makes the proof of who this host is, for the body of a request. Raises `KerberosError`."""

    def ticket_for(body: bytes) -> HostTicket:
        return HostTicket(principal, keytab, body)

    return ticket_for


class HostTicket:
    """One ticket for `principal`, bound to one request. Its making asks the domain; raises `KerberosError`."""

    def __init__(self, principal: str, keytab: Path | None, body: bytes) -> None:
        self._raw = raw = _library()
        if keytab is not None and not keytab.is_file():
            advice = "Export the keytab of this host's computer account."
            raise KerberosError(f"The keytab {keytab} is no file.", advice)
        self._bindings = raw.ChannelBindings(application_data=binding_of(body))
        self._flags = [raw.RequirementFlag.mutual_authentication]
        try:
            self._name = _name(raw, principal)
            self._credentials = _credentials(raw, keytab)
            self._context, token = self._step(None, None)
        except raw.GSSError as error:
            raise KerberosError(
                f"This host gets no Kerberos ticket for {principal}: {_reason(error)}",
                "Check the keytab, the clock, that a domain controller can be reached, and HGS's service principal.",
            ) from error
        self.token: bytes = token

    def check(self, answer: bytes) -> None:
        """Check HGS's own proof. Raises `NegotiateError`."""
        if not answer:
            raise NegotiateError("it sent no proof.")
        try:
            _, rest = self._step(self._context, answer)
        except self._raw.GSSError as error:
            raise NegotiateError(_reason(error)) from error
        if rest or not self._is_done:
            raise NegotiateError("its proof is not whole.")

    def _step(self, context: Any, token: bytes | None) -> tuple[Any, bytes]:
        raw = self._raw
        answer = raw.init_sec_context(
            self._name,
            self._credentials,
            context,
            raw.OID.from_int_seq(_SPNEGO),
            flags=self._flags,
            channel_bindings=self._bindings,
            input_token=token,
        )
        self._is_done = not answer.more_steps and raw.RequirementFlag.mutual_authentication in answer.flags
        return answer.context, answer.token or b""


def _name(raw: Any, principal: str) -> Any:
    """A principal with its realm as it stands; without one the Kerberos configuration knows the realm of the name."""
    if "@" in principal:
        return raw.import_name(principal.encode(), raw.NameType.kerberos_principal)
    return raw.import_name(principal.replace("/", "@", 1).encode(), raw.NameType.hostbased_service)


def _credentials(raw: Any, keytab: Path | None) -> Any:
    if keytab is None:
        return raw.acquire_cred(None, usage="initiate").creds
    store = {b"client_keytab": str(keytab).encode(), b"ccache": f"MEMORY:{uuid4()}".encode()}
    return raw.acquire_cred_from(store, usage="initiate").creds


def _library() -> Any:
    try:
        import gssapi.raw
    except ImportError as error:
        raise KerberosError(
            f"Python's gssapi cannot be used on this host: {error}.",
            "Install the extra named ad and the Kerberos libraries; Active Directory mode needs them.",
        ) from error
    return gssapi.raw


def _reason(error: Exception) -> str:
    """The library's own words, on one line."""
    return " ".join(str(error).split())[:300]
