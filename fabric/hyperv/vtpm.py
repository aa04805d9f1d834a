"""The virtual TPM of a VM: an swtpm whose state is encrypted under a key that only the secure worker has.

The key (32 bytes, AES-256-CBC with HMAC by swtpm) reaches swtpm through an anonymous file's descriptor, never as an
argument, an environment variable or a file with a name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("TSS2_LOG", "all+none")

from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_SE,
    TPM2_SU,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPM2B_SENSITIVE_DATA,
    TPMA_OBJECT,
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    TPMS_SENSITIVE_CREATE,
    TPMT_HA,
    TPMT_SYM_DEF,
    TPMU_HA,
    TCTILdr,
    TSS2_Exception,
)

from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import memory_file
from fabric.hyperv.processes import end_process, wait_until
from fabric.hyperv.socket_paths import folder_descriptor, short_path
from fabric.hyperv.system_tools import run_tool, tool_running
from hgs.keyprotection.secret import Secret

KEY_LENGTH: Final = 32
SEALED_HANDLE: Final = 0x81000100
# Of a virtual TPM that runs by itself; one that serves a machine has its pid file among the machine's.
PID_FILE: Final = "pid"
_CIPHER: Final = "aes-256-cbc"
_START_SECONDS: Final = 10.0


@contextmanager
def being_made(directory: Path, key: Secret) -> Iterator[None]:
    """An empty virtual TPM comes to be in `directory` (which exists) while the block runs; whole at its end.

    Its state is encrypted under `key`. It takes longer than other steps and needs nothing of them. Raises `HostError`.
    """
    with (
        memory_file("vtpm-key", key.reveal().hex().encode()) as descriptor,
        tool_running(
            [
                "swtpm_setup", "--tpm2", "--tpmstate", str(directory), "--pcr-banks", "sha256", "--overwrite",
                "--keyfile-fd", str(descriptor), "--cipher", _CIPHER,
            ],
            keep=(descriptor,),
        ),
    ):  # fmt: skip
        yield


def launch(directory: Path, key: Secret, control: Path, pid_file: Path, server: Path | None = None) -> None:
    """Start the virtual TPM in the background. Raises `HostError`.

    It listens on `control` for QEMU, which switches it on, and ends with QEMU. With `server` (in the same folder) it is
    switched on at once and takes TPM commands there; then `control` must be `<server>.ctrl`. All paths are absolute.
    """
    with (
        folder_descriptor(control.parent) as folder,
        memory_file("vtpm-key", key.reveal().hex().encode()) as descriptor,
    ):
        arguments = [
            "swtpm", "socket", "--tpm2", "--daemon",
            "--tpmstate", f"dir={directory},mode=0600",
            "--ctrl", f"type=unixio,path={short_path(folder, control.name)},mode=0600",
            "--pid", f"file={pid_file}",
            "--key", f"fd={descriptor},mode={_CIPHER},format=hex",
        ]  # fmt: skip
        if server is None:
            arguments.append("--terminate")
        else:
            address = short_path(folder, server.name)
            arguments += ["--server", f"type=unixio,path={address},mode=0600", "--flags", "not-need-init,startup-clear"]
        run_tool(arguments, keep=(descriptor, folder), seconds=_START_SECONDS)
    if not wait_until(control.exists, _START_SECONDS):
        raise HostError("vtpm-start", "The virtual TPM did not start.")


@contextmanager
def running(directory: Path, key: Secret) -> Iterator[ESAPI]:
    """The virtual TPM switched on by itself, for as long as the block lasts. Raises `HostError`."""
    server, control, pid_file = directory / "s", directory / "s.ctrl", directory / PID_FILE
    launch(directory, key, control, pid_file, server)
    try:
        with (
            folder_descriptor(directory) as folder,
            ESAPI(TCTILdr("swtpm", f"path={short_path(folder, server.name)}")) as esapi,
        ):
            yield esapi
            esapi.shutdown(TPM2_SU.CLEAR)
    except TSS2_Exception as error:
        raise HostError("vtpm-failed", f"The virtual TPM refused a command: {error}.") from None
    finally:
        end_process(pid_file, "swtpm", str(directory))
        for path in (server, control):
            path.unlink(missing_ok=True)


def seal(esapi: ESAPI, secret: Secret, policy: bytes) -> None:
    """Store `secret` (up to 128 bytes) at `SEALED_HANDLE`; only a session with this policy digest unseals it."""
    parent, *_ = esapi.create_primary(TPM2B_SENSITIVE_CREATE(), _storage_root_template(), ESYS_TR.OWNER)
    attributes = TPMA_OBJECT.FIXEDTPM | TPMA_OBJECT.FIXEDPARENT | TPMA_OBJECT.NODA
    public = TPM2B_PUBLIC.parse("keyedhash", nameAlg="sha256", objectAttributes=attributes, authPolicy=policy)
    sensitive = TPM2B_SENSITIVE_CREATE(TPMS_SENSITIVE_CREATE(data=TPM2B_SENSITIVE_DATA(secret.reveal())))
    private, public, *_ = esapi.create(parent, sensitive, public)
    handle = esapi.load(parent, private, public)
    esapi.evict_control(ESYS_TR.OWNER, handle, SEALED_HANDLE)
    esapi.flush_context(handle)
    esapi.flush_context(parent)


def unseal(esapi: ESAPI, pcrs: tuple[int, ...]) -> Secret | None:
    """What is stored at `SEALED_HANDLE`, None if the TPM's present PCR values do not satisfy the policy."""
    handle = esapi.tr_from_tpmpublic(SEALED_HANDLE)
    session = esapi.start_auth_session(
        ESYS_TR.NONE,
        ESYS_TR.NONE,
        TPM2_SE.POLICY,
        TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL),
        TPM2_ALG.SHA256,
    )
    try:
        selection = TPML_PCR_SELECTION.parse("sha256:" + ",".join(map(str, pcrs)))
        esapi.policy_pcr(session, b"", selection)
        return Secret(bytes(esapi.unseal(handle, session1=session)))
    except TSS2_Exception:
        return None
    finally:
        esapi.flush_context(session)


def extend(esapi: ESAPI, pcr: int, digest: bytes) -> None:
    """Extend one PCR of the SHA-256 bank."""
    esapi.pcr_extend(ESYS_TR(pcr), TPML_DIGEST_VALUES([TPMT_HA(hashAlg=TPM2_ALG.SHA256, digest=_digest(digest))]))


def _digest(value: bytes) -> Any:
    return TPMU_HA(sha256=value)


def _storage_root_template() -> TPM2B_PUBLIC:
    attributes = (
        TPMA_OBJECT.FIXEDTPM
        | TPMA_OBJECT.FIXEDPARENT
        | TPMA_OBJECT.SENSITIVEDATAORIGIN
        | TPMA_OBJECT.USERWITHAUTH
        | TPMA_OBJECT.NODA
        | TPMA_OBJECT.RESTRICTED
        | TPMA_OBJECT.DECRYPT
    )
    return TPM2B_PUBLIC.parse("ecc:aes128cfb", objectAttributes=attributes)
