"""What is encrypted in shielding data: the answer file and other files.

<ShieldingContent Version="1">         namespace urn:open-guarded-fabric:shielding-data:1, in files of every version
  <AnswerFile/>                         base64 of UTF-8 text; empty for none
  <File Name="authorized_keys"/>…       base64, sorted by name
</ShieldingContent>
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from fabric.shielding.answerfile import ANSWER_FILE_MAX, check_answer_file, placeholders
from fabric.shielding.errors import ShieldingContentError, refusing
from fabric.shielding.pdk_form import CONTENT_MAX
from hgs.keyprotection.secret import Secret
from hgs.wire import xmlform
from hgs.wire.xmlform import Element, Fields, XmlFormError

NAMESPACE: Final = "urn:open-guarded-fabric:shielding-data:1"
OTHER_FILES_MAX: Final = 384 * 1024
CONFIGURATION_SCRIPT_MAX: Final = 64 * 1024
FILES_MAX: Final = 64
SSH_HOST_KEY: Final = "ssh_host_ed25519_key"
AUTHORIZED_KEYS: Final = "authorized_keys"
CONFIGURATION_SCRIPT: Final = "configuration-script"
RDP_CERTIFICATE: Final = "rdp_certificate.pfx"
RDP_PASSWORD: Final = "rdp_certificate.password"  # noqa: S105 - the name of a file
ROLES: Final = (SSH_HOST_KEY, AUTHORIZED_KEYS, CONFIGURATION_SCRIPT, RDP_CERTIFICATE, RDP_PASSWORD)
"""Names of files that mean something to the guest; any other file is only copied."""
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ShieldingSecrets:
    """The opened content. Answer file and files print as `<secret>` or not at all.

    `answer_file` is UTF-8 text, empty if there is none; `other_files` maps names to contents, among them those of
    `ROLES` where the owner gave them: `ssh_host_ed25519_key` (OpenSSH private key), `authorized_keys`,
    `configuration-script`, `rdp_certificate.pfx` (PKCS #12) and `rdp_certificate.password`.
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
    def configuration_script(self) -> Secret | None:
        """What the guest runs once, after its answer file was applied."""
        return self.other_files.get(CONFIGURATION_SCRIPT)

    @property
    def rdp_certificate(self) -> tuple[Secret, Secret] | None:
        """The guest's RDP certificate, PKCS #12, and its password."""
        pfx, password = self.other_files.get(RDP_CERTIFICATE), self.other_files.get(RDP_PASSWORD)
        return None if pfx is None or password is None else (pfx, password)

    @property
    def named_files(self) -> dict[str, Secret]:
        """All other files but those with a role."""
        return {name: value for name, value in self.other_files.items() if name not in ROLES}

    @property
    def substitution_strings(self) -> tuple[str, ...]:
        """The answer file's placeholders, sorted, each once."""
        return tuple(sorted(placeholders(self.answer_file.reveal().decode())))


def _check(secrets: ShieldingSecrets) -> None:
    try:
        text = secrets.answer_file.reveal().decode()
    except UnicodeDecodeError:
        raise ShieldingContentError("answer-file", "The answer file is not UTF-8 text.") from None
    if text:
        check_answer_file(text)
    _check_names(secrets)
    _check_roles(secrets)
    total = sum(len(value) for value in secrets.other_files.values())
    if total > OTHER_FILES_MAX:
        raise ShieldingContentError(
            "files-too-large",
            f"The files have {total} bytes together; at most {OTHER_FILES_MAX // 1024} KiB are allowed.",
            "Leave out large files and fetch them from inside the VM.",
        )


def _check_names(secrets: ShieldingSecrets) -> None:
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


def _check_roles(secrets: ShieldingSecrets) -> None:
    script = secrets.configuration_script
    if script is not None and len(script) > CONFIGURATION_SCRIPT_MAX:
        raise ShieldingContentError(
            "configuration-script",
            f"The configuration script has {len(script)} bytes; {CONFIGURATION_SCRIPT_MAX // 1024} KiB is most.",
            "Let the script fetch what it needs.",
        )
    if (RDP_CERTIFICATE in secrets.other_files) != (RDP_PASSWORD in secrets.other_files):
        raise ShieldingContentError(
            "rdp-certificate",
            f"{RDP_CERTIFICATE} and {RDP_PASSWORD} belong together, and one of them is missing.",
            "Give the RDP certificate as a PFX file together with its password.",
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
