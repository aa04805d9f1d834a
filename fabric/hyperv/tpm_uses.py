"""Secrets in the host's TPM that can be read only so often, and only while the host is configured as it was.

A secret (32 bytes) lies in an NV index of its own. Its policy: the registers of `IDENTITY_PCRS` have the values they
had when it was stored, and an NV counter beside it is not above a limit. Reading counts first and reads then. Nothing
of it is in a file: removing the index destroys the secret for good, whatever copies of files exist, and a counter of a
TPM never goes back, not even when its index is made anew.

What the TPM does not enforce is that somebody counts before reading: software that controls the TPM and this
configuration can read without counting. The host's own software counts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

os.environ.setdefault("TSS2_LOG", "all+none")

from tpm2_pytss import (
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_EO,
    TPM2_HC,
    TPM2_NT,
    TPM2_SE,
    TPM2B_NV_PUBLIC,
    TPMA_NV,
    TPMS_NV_PUBLIC,
    TPMT_SYM_DEF,
    TSS2_Exception,
)

from fabric.hyperv.errors import HostError, TpmError
from fabric.hyperv.tpm import IDENTITY_PCRS, TpmSession, pcr_selection

SECRET_SIZE: Final = 32
USES_MAX: Final = 1000
_COUNTER_SIZE: Final = 8
# A block of our own in the range that TPM owners define.
_FIRST: Final = 0x01806700
_PAIRS: Final = 128
_COUNTER: Final = TPMA_NV.AUTHREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA | (TPM2_NT.COUNTER << TPMA_NV.TPM2_NT_SHIFT)
_SECRET: Final = TPMA_NV.POLICYREAD | TPMA_NV.AUTHWRITE | TPMA_NV.NO_DA


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret is: the NV index of its counter (its own is the next one) and the counter's last good value."""

    index: int
    limit: int

    def __post_init__(self) -> None:
        if self.index not in range(_FIRST, _FIRST + 2 * _PAIRS, 2) or not 0 < self.limit < 1 << 64:
            raise ValueError("this is no place of a counted secret")


class CountedSecrets:
    """The counted secrets of the TPM behind an open session."""

    def __init__(self, session: TpmSession) -> None:
        self._esapi = session.esapi

    def store(self, secret: bytes, uses: int) -> Place:
        """Store `secret` for so many uses (1 to `USES_MAX`) under the present configuration. Raises `TpmError`."""
        if len(secret) != SECRET_SIZE or not 1 <= uses <= USES_MAX:
            raise ValueError("a counted secret has 32 bytes and a limited number of uses")
        with _tpm_errors("keep a secret"):
            index = self._free_index()
            counter = self._define(index, _COUNTER, _COUNTER_SIZE, b"")
            try:
                self._esapi.nv_increment(counter, counter)
                place = Place(index, self._value(counter) + uses)
                holder = self._define(index + 1, _SECRET, SECRET_SIZE, self._policy(counter, place.limit))
                self._esapi.nv_write(holder, secret, 0, holder)
            except BaseException:
                self.remove(index)
                raise
            return place

    def left(self, place: Place) -> int:
        """How many uses are left, 0 for a secret that is gone."""
        with _tpm_errors("count"):
            if not self._complete(place):
                return 0
            return max(0, place.limit - self._value(self._handle(place.index)))

    def use(self, place: Place) -> bytes:
        """Count one use and read the secret.

        Raises `HostError` with the code `offline-used-up` or `offline-configuration-changed`; neither counts.
        """
        with _tpm_errors("read a counted secret"):
            if self.left(place) == 0:
                raise HostError(
                    "offline-used-up",
                    "The VM has been started without HGS as often as HGS permitted.",
                    "Bring HGS back; the next start with it permits more.",
                )
            counter, holder = self._handle(place.index), self._handle(place.index + 1)
            wanted = bytes(self._esapi.nv_read_public(holder)[0].nvPublic.authPolicy)
            if self._policy(counter, place.limit) != wanted:
                raise HostError(
                    "offline-configuration-changed",
                    "The host is not configured as when HGS last released this VM's key (firmware, Secure Boot, boot "
                    "programs, settings or CI policy).",
                    "Boot the host as it was, or bring HGS back.",
                )
            self._esapi.nv_increment(counter, counter)
            with self._session(TPM2_SE.POLICY) as session:
                self._satisfy(session, counter, place.limit)
                return bytes(self._esapi.nv_read(holder, SECRET_SIZE, 0, holder, session1=session))

    def remove(self, index: int) -> None:
        """Destroy the secret at `index` and its counter; what is not there is fine. Raises `TpmError`."""
        with _tpm_errors("remove a secret"):
            found = self._indices()
            for each in (index + 1, index):
                if each in found and self._is_ours(each):
                    self._esapi.nv_undefine_space(self._handle(each))

    def stored(self) -> list[int]:
        """The indices (those of the counters) at which something of ours is."""
        with _tpm_errors("list its indices"):
            return sorted({each & ~1 for each in self._indices() if self._is_ours(each)})

    def _policy(self, counter: Any, limit: int) -> bytes:
        """The digest of the policy as of now."""
        with self._session(TPM2_SE.TRIAL) as session:
            self._satisfy(session, counter, limit)
            return bytes(self._esapi.policy_get_digest(session))

    def _satisfy(self, session: Any, counter: Any, limit: int) -> None:
        self._esapi.policy_pcr(session, b"", pcr_selection(IDENTITY_PCRS))
        self._esapi.policy_nv(counter, counter, session, limit.to_bytes(_COUNTER_SIZE), TPM2_EO.UNSIGNED_LE)

    def _define(self, index: int, attributes: Any, size: int, policy: bytes) -> Any:
        public = TPM2B_NV_PUBLIC(
            TPMS_NV_PUBLIC(
                nvIndex=index, nameAlg=TPM2_ALG.SHA256, attributes=attributes, authPolicy=policy, dataSize=size
            )
        )
        return self._esapi.nv_define_space(b"", public)

    def _value(self, counter: Any) -> int:
        return int.from_bytes(bytes(self._esapi.nv_read(counter, _COUNTER_SIZE, 0, counter)))

    def _handle(self, index: int) -> Any:
        return self._esapi.tr_from_tpmpublic(index)

    def _complete(self, place: Place) -> bool:
        return {place.index, place.index + 1} <= set(self._indices())

    def _free_index(self) -> int:
        used = set(self._indices())
        for index in range(_FIRST, _FIRST + 2 * _PAIRS, 2):
            if not {index, index + 1} & used:
                return index
        raise TpmError("The TPM has no room for another cached key.", "Remove virtual machines.")

    def _indices(self) -> list[int]:
        found: list[int] = []
        start, more = _FIRST, True
        while more:
            more, data = self._esapi.get_capability(TPM2_CAP.HANDLES, start, 64)
            page = [int(handle) for handle in data.data.handles]
            if not page or page[0] >> 24 != TPM2_HC.NV_INDEX_FIRST >> 24:
                break
            found += [handle for handle in page if _FIRST <= handle < _FIRST + 2 * _PAIRS]
            start = page[-1] + 1
        return found

    def _is_ours(self, index: int) -> bool:
        """Whether the index has the form in which we define it: others may use the block as well."""
        public = self._esapi.nv_read_public(self._handle(index))[0].nvPublic
        attributes, size = (_SECRET, SECRET_SIZE) if index & 1 else (_COUNTER, _COUNTER_SIZE)
        return int(public.attributes) & ~int(TPMA_NV.WRITTEN) == int(attributes) and int(public.dataSize) == size

    @contextmanager
    def _session(self, kind: Any) -> Iterator[Any]:
        symmetric = TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)
        handle = self._esapi.start_auth_session(ESYS_TR.NONE, ESYS_TR.NONE, kind, symmetric, TPM2_ALG.SHA256)
        try:
            yield handle
        finally:
            self._esapi.flush_context(handle)


@contextmanager
def _tpm_errors(what: str) -> Iterator[None]:
    try:
        yield
    except TSS2_Exception as error:
        raise TpmError(f"The TPM did not {what}: {error}.") from error
