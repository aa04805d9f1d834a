"""The host as a client of its Host Guardian Services: the primary, and a fallback for as long as that does not answer.

The primary is always preferred. A service is left for the other only when it gives no answer (unreachable, too slow, a
server error); a refusal is an answer and stands. Each service gives a health certificate of its own, and a request for
keys goes to the service whose certificate it carries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog

from fabric.hyperv.attestation import (
    AttestationState,
    Attestor,
    ClientFactory,
    not_attested,
    out_of_service,
)
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import AttestationFailed, StateError
from fabric.hyperv.secure_worker.orders import Carried, NoAnswer, OtherCertificate, Release
from hgs.attestation.verdict import AttestationStatus
from hgs.client import AttestationClient, HgsError, HgsRefused, KeyProtectionClient
from hgs.wire import kps
from hgs.wire.xmlform import XmlFormError

log = structlog.get_logger(__name__)
NO_PROTECTION: Final = "Local mode: the host keeps the keys of its VMs itself; nothing protects the VMs from the host."
_RELEASE_SECONDS: Final = 30.0
_LOCAL: Final = AttestationState(
    status=AttestationStatus.NOT_CONFIGURED.value,
    message=NO_PROTECTION,
    advice="Give the host an HGS: set HGS_URL and unset HOST_LOCAL_MODE.",
)
KeysFactory = Callable[[str, float], KeyProtectionClient]


class HgsClient:
    """What one host has from its services. All that is known lies in the state folder, so processes agree."""

    def __init__(
        self,
        config: HostConfig,
        connect: ClientFactory = AttestationClient,
        connect_keys: KeysFactory = KeyProtectionClient,
        on_distrust: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_distrust` is called when HGS takes the health certificate no longer: a new one is needed."""
        self._config = config
        self._connect_keys = connect_keys
        self._on_distrust = on_distrust
        self.primary = Attestor(config, connect)
        self.fallback = Attestor(config, connect, config.fallback) if config.fallback else None

    @property
    def in_use(self) -> Attestor:
        """The primary; the fallback while the primary does not answer and the fallback does."""
        if self.fallback is None or not self.primary.current().unreachable:
            return self.primary
        other = self.fallback.current()
        return self.fallback if other.passed or other.refused else self.primary

    def current(self) -> AttestationState:
        """What the service in use last said, as of now; without HGS, that there is none."""
        return _LOCAL if self._config.local_mode else self.in_use.current()

    def attest(self, reason: str) -> AttestationState:
        """Attest with the primary now; with the fallback if that does not answer and the fallback is due as well.

        A fallback that refused the host is also asked once the primary has passed it, for nobody else would: until it
        takes that back, no cached key opens.
        """
        if self._config.local_mode:
            return _LOCAL
        tried = self.primary.attest(reason)
        if self.fallback and self._is_due(self.fallback, tried):
            self.fallback.attest(reason)
        return replace(self.current(), reason=reason)

    @staticmethod
    def _is_due(fallback: Attestor, tried: AttestationState) -> bool:
        """Whether the fallback has to be asked as well after this answer of the primary."""
        if tried.unreachable:
            return fallback.current().needs_renewal(_now())
        return tried.passed and fallback.has_refused

    def attest_with(self, attestor: Attestor, reason: str) -> AttestationState:
        """Attest with one service now, whatever is in use."""
        return _LOCAL if self._config.local_mode else attestor.attest(reason)

    def forget(self) -> None:
        """Drop every certificate and what is known about it."""
        for attestor in self._services():
            attestor.forget()

    def health_certificate(self) -> bytes:
        """A valid health certificate (DER) of the service in use; empty in local mode. Raises `AttestationFailed`."""
        if self._config.local_mode:
            return b""
        if self.current().needs_renewal(_now()):
            # A refusal ends a certificate; a failure to ask does not, while the old one is valid.
            self.attest("certificate-needed")
        state = self.current()
        if not state.passed:
            raise not_attested(state)
        return self.in_use.kept_certificate()

    def certificate_if_any_answers(self) -> bytes:
        """The same, but empty where no service answers and the last word of none was a refusal of this host.

        Then a VM may start from a cached key, if HGS permitted that. Raises `AttestationFailed`.
        """
        try:
            return self.health_certificate()
        except AttestationFailed:
            if not all(attestor.current().unreachable for attestor in self._services()):
                raise
            self._check_not_refused()
            return b""

    def requests(self, vm_id: str) -> Release:
        """The way to HGS for one operation on one VM."""
        return _KeyRequests(self, vm_id)

    def _services(self) -> tuple[Attestor, ...]:
        return (self.primary, self.fallback) if self.fallback else (self.primary,)

    def _check_not_refused(self) -> None:
        for attestor in self._services():
            if attestor.has_refused:
                raise AttestationFailed(
                    "host-refused",
                    f"No HGS answers, and the last word of the {attestor.service} one was a refusal: "
                    f"{attestor.last_refusal()}",
                    "That one must attest the host again before anything starts on it without HGS.",
                )

    def _of(self, request: bytes) -> Attestor:
        """The service whose health certificate the request carries."""
        if self.fallback is None:
            return self.primary
        try:
            carried = kps.parse_request(request).health_certificate
            return self.fallback if carried == self.fallback.kept_certificate() else self.primary
        except (XmlFormError, StateError):
            return self.primary

    def _post(self, attestor: Attestor, request: bytes, vm_id: str) -> bytes:
        client = self._connect_keys(attestor.address.key_protection, _RELEASE_SECONDS)
        try:
            return client.roll_transport_key(request, vm_id)
        except HgsRefused as error:
            if error.reason == "HealthCertificateException":
                # HGS believes the certificate no longer. The request holds it, so only the next one can do better.
                attestor.forget()
                attestor.note_refusal(error.message)
                self._on_distrust()
            raise
        finally:
            client.close()


class _KeyRequests:
    """Carries the requests of one operation: each service that gives no answer is left, once, for the other."""

    def __init__(self, client: HgsClient, vm_id: str) -> None:
        self._client = client
        self._vm_id = vm_id
        self._silent: set[str] = set()

    def __call__(self, request: bytes) -> Carried:
        attestor = self._client._of(request)
        try:
            answer = self._client._post(attestor, request, self._vm_id)
        except HgsError as error:
            if not out_of_service(error):
                raise
            log.warning("hgs-gave-no-key", service=attestor.service, message=error.message)
            attestor.note_answer(trouble=error.message)
            self._silent.add(attestor.service)
            return self._elsewhere(error.message)
        attestor.note_answer()
        return answer

    def _elsewhere(self, message: str) -> Carried:
        for attestor in self._client._services():
            if attestor.service in self._silent:
                continue
            state = attestor.current()
            if state.unreachable or state.needs_renewal(_now()):
                state = attestor.attest("key-needed")
            if state.unreachable:
                self._silent.add(attestor.service)
                continue
            if not state.passed:
                raise not_attested(state)
            log.info("other-hgs-asked", service=attestor.service)
            return OtherCertificate(attestor.kept_certificate())
        self._client._check_not_refused()
        return NoAnswer(message)


def _now() -> datetime:
    return datetime.now(UTC)
