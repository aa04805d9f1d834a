"""What a VM's OS volume gets of its tenant's shielding data, and where."""

from __future__ import annotations

from collections.abc import Mapping

from fabric.disks.filesystems import FileSystem
from fabric.hyperv.errors import HostError
from fabric.hyperv.spec import VmSpec
from fabric.shielding.answerfile import check_answer_file, is_linux_answer_file, parse_linux_answer_file, substitute
from fabric.shielding.content import ROLES
from fabric.shielding.pdk import ShieldingSecrets
from hgs.keyprotection.secret import Secret

_FOLDER = "/etc/guarded"
_WINDOWS_ANSWERS, _WINDOWS_FILES = "/Windows/Panther/unattend.xml", "/temp"


def specialised_files(secrets: ShieldingSecrets, spec: VmSpec) -> dict[str, Secret]:
    """Path in the guest → contents: the answer file with the fabric's values, and the tenant's other files.

    A Linux guest finds them in /etc/guarded, Windows Setup where it looks for its answer file, and C:\\temp. Raises
    `AnswerFileError` by name for a missing or malformed value.
    """
    text = secrets.answer_file.reveal().decode()
    answers = substitute(text, spec.specialization)
    if not is_linux_answer_file(text):
        check_answer_file(answers)
        others = {f"{_WINDOWS_FILES}/{name}": contents for name, contents in secrets.other_files.items()}
        return {_WINDOWS_ANSWERS: Secret(answers.encode()), **others}
    parse_linux_answer_file(answers)
    files = {f"{_FOLDER}/unattend.env": Secret(answers.encode())}
    for name, contents in secrets.other_files.items():
        files[f"{_FOLDER}/{name}" if name in ROLES else f"{_FOLDER}/files/{name}"] = contents
    return files


def check_kind(files: Mapping[str, Secret], kind: FileSystem | None) -> None:
    """Raise `HostError` where the answer file is for another operating system than the one on such a file system."""
    is_for_windows, is_windows = _WINDOWS_ANSWERS in files, kind is FileSystem.NTFS
    if is_for_windows == is_windows:
        return
    given, runs = ("a Windows", "Linux") if is_for_windows else ("a Linux", "Windows")
    raise HostError(
        "answer-file-kind",
        f"This template runs {runs}, and the shielding data holds {given} answer file.",
        f"Make shielding data with: gf answer-file new {runs.lower()}",
    )
