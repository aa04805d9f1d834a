"""What is encrypted in shielding data: the answer file and other files.

<ShieldingContent Version="1">         namespace urn:open-guarded-fabric:shielding-data:1
  <AnswerFile/>                         base64 of UTF-8 text
  <File Name="authorized_keys"/>…       base64, sorted by name
</ShieldingContent>
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from fabric.shielding.answerfile import ANSWER_FILE_MAX, check_answer_file
from fabric.shielding.errors import ShieldingContentError, refusing
from fabric.shielding.pdk_form import CONTENT_MAX, NAMESPACE
from hgs.keyprotection.secret import Secret
from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, XmlFormError

OTHER_FILES_MAX: Final = 384 * 1024
FILES_MAX: Final = 64
SSH_HOST_KEY: Final = "ssh_host_ed25519_key"
AUTHORIZED_KEYS: Final = "authorized_keys"
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ShieldingSecrets:
    """The opened content. Answer file and files print as `<secret>` or not at all.

    `answer_file` is UTF-8 text; `other_files` maps names to contents, among them `ssh_host_ed25519_key` (OpenSSH
    private key) and `authorized_keys` where the owner gave them.
    """

    answer_file: Secret
    other_files: Mapping[str, Secret] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        _check(self)

    @property
    def ssh_host_key(self) -> Secret | None:
        """The guest's SSH host key, OpenSSH private key format."""
        return self.other_files.get(SSH_HOST_KEY)

    @property
    def authorized_keys(self) -> Secret | None:
        """Public keys that may sign in, one a line."""
        return self.other_files.get(AUTHORIZED_KEYS)

    @property
    def named_files(self) -> dict[str, Secret]:
        """All other files but the two with a role."""
        roles = (SSH_HOST_KEY, AUTHORIZED_KEYS)
        return {name: value for name, value in self.other_files.items() if name not in roles}


def _check(secrets: ShieldingSecrets) -> None:
    try:
        text = secrets.answer_file.reveal().decode()
    except UnicodeDecodeError:
        raise ShieldingContentError("answer-file", "The answer file is not UTF-8 text.") from None
    check_answer_file(text)
    if len(secrets.other_files) > FILES_MAX:
        raise ShieldingContentError("too-many-files", f"Shielding data holds at most {FILES_MAX} files.")
    for name in secrets.other_files:
        if not _FILE_NAME.fullmatch(name):
            raise ShieldingContentError(
                "file-name",
                f"{name[:70]!r} cannot be the name of a file in shielding data.",
                "Use 1 to 64 letters, digits, dots, hyphens and underscores, beginning with a letter or digit.",
            )
    if len({name.lower() for name in secrets.other_files}) != len(secrets.other_files):
        raise ShieldingContentError("file-name", "Two files in the shielding data have the same name.")
    total = sum(len(value) for value in secrets.other_files.values())
    if total > OTHER_FILES_MAX:
        raise ShieldingContentError(
            "files-too-large",
            f"The files have {total} bytes together; at most {OTHER_FILES_MAX // 1024} KiB are allowed.",
            "Leave out large files and fetch them from inside the VM.",
        )


def serialise_content(secrets: ShieldingSecrets) -> Secret:
    """The plaintext to encrypt."""
    ns = NAMESPACE
    files = (
        xmlform.build_bytes(ns, "File", value.reveal(), {"Name": name})
        for name, value in sorted(secrets.other_files.items())
    )
    answer = xmlform.build_bytes(ns, "AnswerFile", secrets.answer_file.reveal())
    return Secret(xmlform.canonical(xmlform.build(ns, "ShieldingContent", answer, *files, attributes={"Version": "1"})))


def parse_content(plaintext: Secret) -> ShieldingSecrets:
    """Parse decrypted content. Raises ShieldingContentError, AnswerFileError."""
    with refusing(ShieldingContentError):
        root = xmlform.parse_document(
            plaintext.reveal(), namespace=NAMESPACE, name="ShieldingContent", limit=CONTENT_MAX
        )
        fields = Fields(root, attributes=("Version",))
        if fields.attribute("Version") != "1":
            raise XmlFormError("version", "The content of the shielding data is of a version that is not known.")
        answer = xmlform.bytes_of(fields.take("AnswerFile"), most=ANSWER_FILE_MAX, least=0)
        pairs = [_read_file(element) for element in fields.take_all("File", FILES_MAX)]
        fields.end()
    files = dict(pairs)
    if [name for name, _ in pairs] != sorted(files):
        raise ShieldingContentError("file-order", "The files in the shielding data are not sorted, each named once.")
    return ShieldingSecrets(Secret(answer), MappingProxyType(files))


def _read_file(element: Element) -> tuple[str, Secret]:
    name = str(element.attrib.get("Name", ""))
    return name, Secret(xmlform.bytes_of(element, most=OTHER_FILES_MAX, least=0, attributes=("Name",)))
