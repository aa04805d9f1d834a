"""A VM's transport key kept for starts without HGS, as often as HGS permitted with its last release.

`offline-key.xml` in the VM's folder holds the key, encrypted under a random key that lies in the host's TPM
(`fabric.hyperv.tpm_uses`): it opens there a limited number of times, and only while the host is configured as it was.
A copy of the file is worth nothing once the TPM's part is gone, which every new release and every refusal brings about.

    OfflineKey @Version=1   namespace urn:open-guarded-fabric:offline-key:1, exclusive canonical form
      Id                    the VM's UUID
      Index  Limit          decimal: where in the TPM, and up to which count
      TransportKey          EncryptedData: AES-256-GCM, additional data: label 00 Id
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fabric.hyperv import vm_folder
from fabric.hyperv.errors import HostError
from fabric.hyperv.spec import SpecError, check_vm_id
from fabric.hyperv.state import write_whole
from fabric.hyperv.tpm import HostTpmAccess, open_tpm
from fabric.hyperv.tpm_uses import SECRET_SIZE, USES_MAX, CountedSecrets, Place
from hgs.keyprotection import algorithms
from hgs.keyprotection.elements import EncryptedData, read_encrypted_data, write_encrypted_data
from hgs.keyprotection.errors import KeyProtectionError
from hgs.keyprotection.secret import Secret
from hgs.keyprotection.transport_key import TransportKey
from hgs.wire import xmlform
from hgs.wire.xmlform import Fields, XmlFormError

NAMESPACE: Final = "urn:open-guarded-fabric:offline-key:1"
_FILE_MAX: Final = 4096
_CIPHER_MAX: Final = 128
_DIGITS_MAX: Final = 20
_CONTEXT: Final = b"guarded-fabric offline-key transport-key\0"


@dataclass(frozen=True, slots=True)
class OfflineKey:
    """The file."""

    vm_id: str
    place: Place
    transport_key: EncryptedData

    def serialise(self) -> bytes:
        root = xmlform.build(
            NAMESPACE,
            "OfflineKey",
            xmlform.build_text(NAMESPACE, "Id", self.vm_id),
            xmlform.build_text(NAMESPACE, "Index", str(self.place.index)),
            xmlform.build_text(NAMESPACE, "Limit", str(self.place.limit)),
            write_encrypted_data(NAMESPACE, self.transport_key, "TransportKey"),
            attributes={"Version": "1"},
        )
        return xmlform.canonical(root)


def parse_offline_key(data: bytes) -> OfflineKey:
    """Read the file. Raises `HostError` (code `offline-key-damaged`)."""
    try:
        root = xmlform.parse_document(data, namespace=NAMESPACE, name="OfflineKey", limit=_FILE_MAX)
        fields = Fields(root, attributes=("Version",))
        vm_id = check_vm_id(xmlform.text_of(fields.take("Id")))
        place = Place(*(_number(xmlform.text_of(fields.take(name))) for name in ("Index", "Limit")))
        key = read_encrypted_data(fields.take("TransportKey"), _CIPHER_MAX)
        fields.end()
    except (XmlFormError, SpecError, KeyProtectionError, ValueError) as error:
        raise _damaged(str(error)) from None
    if fields.attribute("Version") != "1":
        raise _damaged("it is of a version that is not known")
    return OfflineKey(vm_id, place, key)


def keep(folder: Path, vm_id: str, key: TransportKey, uses: int, access: HostTpmAccess) -> None:
    """Keep `key` for `uses` starts (at most `USES_MAX`); an older one must be forgotten before. Raises `HostError`."""
    secret = Secret(os.urandom(SECRET_SIZE))
    with open_tpm(access.tcti, access.lock) as tpm:
        place = CountedSecrets(tpm).store(secret.reveal(), min(uses, USES_MAX))
        sealed = algorithms.encrypt_content(secret, key.value.reveal(), _context(vm_id), os.urandom)
        write_whole(folder / vm_folder.OFFLINE_KEY, OfflineKey(vm_id, place, sealed).serialise())


def use(folder: Path, vm_id: str, access: HostTpmAccess) -> tuple[TransportKey, int]:
    """The kept key, and how many more times it may be used; this time is counted.

    Raises `HostError`: `offline-not-allowed`, `offline-used-up`, `offline-configuration-changed`,
    `offline-key-damaged`, or `TpmError`.
    """
    kept = _read(folder)
    if kept is None:
        raise HostError(
            "offline-not-allowed",
            "No Host Guardian Service answers, and none has permitted this VM to start without it.",
            "Bring HGS back. Its administrator can permit starts without it; that counts from the next start on.",
        )
    if kept.vm_id != vm_id:
        raise _damaged("it belongs to another VM")
    with open_tpm(access.tcti, access.lock) as tpm:
        secrets = CountedSecrets(tpm)
        opener = Secret(secrets.use(kept.place))
        left = secrets.left(kept.place)
    key = algorithms.decrypt_content(opener, kept.transport_key, _context(vm_id))
    if key is None or len(key) != algorithms.KEY_SIZE:
        raise _damaged("the host's TPM does not open it")
    return TransportKey(Secret(key)), left


def forget(folder: Path, access: HostTpmAccess) -> None:
    """Destroy the kept key, if there is one. Raises `HostError`; then it may still be there."""
    path = folder / vm_folder.OFFLINE_KEY
    try:
        kept = _read(folder)
    except HostError:
        kept = None  # its index, if any, is an orphan, which the next boot removes
    if kept is not None:
        with open_tpm(access.tcti, access.lock) as tpm:
            CountedSecrets(tpm).remove(kept.place.index)
    path.unlink(missing_ok=True)


def starts_left(folder: Path, access: HostTpmAccess) -> int | None:
    """How many starts without HGS the VM has left; None where no key is kept. Raises `HostError`."""
    kept = _read(folder)
    if kept is None:
        return None
    with open_tpm(access.tcti, access.lock) as tpm:
        return CountedSecrets(tpm).left(kept.place)


def remove_orphans(folders: Iterable[Path], access: HostTpmAccess) -> int:
    """Destroy what lies in the TPM for no VM among `folders`, as a crash leaves it; gives how many.

    Raises `HostError`.
    """
    known = set()
    for folder in folders:
        try:
            kept = _read(folder)
        except HostError:
            continue
        known |= {kept.place.index} if kept else set()
    with open_tpm(access.tcti, access.lock) as tpm:
        secrets = CountedSecrets(tpm)
        orphans = [index for index in secrets.stored() if index not in known]
        for index in orphans:
            secrets.remove(index)
    return len(orphans)


def _read(folder: Path) -> OfflineKey | None:
    try:
        with (folder / vm_folder.OFFLINE_KEY).open("rb") as file:
            return parse_offline_key(file.read(_FILE_MAX + 1))
    except FileNotFoundError:
        return None


def _number(text: str) -> int:
    if len(text) > _DIGITS_MAX or not text.isascii() or not text.isdigit() or str(int(text)) != text:
        raise ValueError("a number in it has another form")
    return int(text)


def _context(vm_id: str) -> bytes:
    return _CONTEXT + vm_id.encode()


def _damaged(problem: str) -> HostError:
    return HostError(
        "offline-key-damaged",
        f"The key kept for starts without HGS cannot be used: {problem}.",
        "Bring HGS back; the next start with it keeps a new one if HGS permits.",
    )
