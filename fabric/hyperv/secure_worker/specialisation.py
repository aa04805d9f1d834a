"""Places a tenant's shielding data into the plaintext OS volume, which exists in memory only.

debugfs (e2fsprogs) writes into the ext4 file system by descriptor; the sources are anonymous files as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack

from fabric.hyperv.errors import HostError
from fabric.hyperv.memory_files import memory_file, open_path
from fabric.hyperv.spec import VmSpec
from fabric.hyperv.system_tools import run_tool
from fabric.shielding.answerfile import is_linux_answer_file, parse_linux_answer_file, substitute
from fabric.shielding.content import ROLES
from fabric.shielding.pdk import ShieldingSecrets
from hgs.keyprotection.secret import Secret

_FOLDER = "/etc/guarded"


def specialised_files(secrets: ShieldingSecrets, spec: VmSpec) -> dict[str, Secret]:
    """Path in the guest → contents: the answer file with the fabric's values, and the tenant's other files.

    Raises `AnswerFileError` by name for a missing or malformed value, `HostError` for an answer file that no guest of
    ours reads.
    """
    text = secrets.answer_file.reveal().decode()
    if not is_linux_answer_file(text):
        raise HostError("answer-file-kind", "This template runs Linux, and the answer file is not a Linux answer file.")
    answers = substitute(text, spec.specialization)
    parse_linux_answer_file(answers)
    files = {f"{_FOLDER}/unattend.env": Secret(answers.encode())}
    for name, contents in secrets.other_files.items():
        files[f"{_FOLDER}/{name}" if name in ROLES else f"{_FOLDER}/files/{name}"] = contents
    return files


def write_files(volume: int, files: Mapping[str, Secret]) -> None:
    """Write files (owner root, mode 0600) into the ext4 file system in the open file `volume`. Raises `HostError`."""
    with ExitStack() as stack:
        sources = {path: stack.enter_context(memory_file("file", item.reveal())) for path, item in files.items()}
        commands = []
        for path, descriptor in sources.items():
            # debugfs gives a new file the source's type and mode; an anonymous file's are regular and 0777.
            commands += [f"write {open_path(descriptor)} {path}", f"set_inode_field {path} mode 0100600"]
            commands += [f"set_inode_field {path} uid 0", f"set_inode_field {path} gid 0"]
        done = run_tool(
            ["debugfs", "-w", "-f", "/dev/stdin", open_path(volume)],
            keep=(volume, *sources.values()),
            stdin="\n".join([*commands, ""]).encode(),
        )
        # debugfs ends with success whatever happened; complaints stand on standard error behind its banner.
        complaints = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if "debugfs 1." not in line]
        if complaints:
            # They name the files, and even a file's name is the tenant's secret.
            raise HostError(
                "specialise-failed",
                "The OS volume of the template took no shielding data.",
                "It needs the folder /etc/guarded/files and room for the files; see docs/formats/template-disk.md.",
            )
