"""Reads the body of a code-integrity policy: every count is bounded before anything is made for it.

Counted bytes are padded with zeros to four; texts are ``u32 bytes, UTF-16, padding, u32 0``. From format 3 on the body
has a block for each format since, each led by its number; the end mark is the format's number plus one.
"""

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar
from uuid import UUID

from hgs.attestation.ci_policy.header import HEADER_SIZE, CiPolicyHeader, Version, unpack_version
from hgs.attestation.ci_policy.model import (
    App,
    AppSetting,
    ArtifactRule,
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    Hotpatch,
    Scenario,
    SecureSetting,
    Signer,
    SignerGroup,
    SignerUse,
)
from hgs.attestation.errors import Malformed, Unsupported

_WORD: Final = 4
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_TEXT: Final = 8
"""The least bytes that a text takes."""
T = TypeVar("T")


class _Reader:
    """A position in the bytes. Every method raises ``Malformed`` rather than reading past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = HEADER_SIZE

    def take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise Malformed(f"its body is cut short at byte {self._at}")
        self._at += size
        return self._data[self._at - size : self._at]

    def u8(self) -> int:
        return self.take(1)[0]

    def u32(self) -> int:
        return int(_U32.unpack(self.take(_WORD))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    def version(self) -> Version:
        return unpack_version(self.u64())

    def guid(self) -> UUID:
        return UUID(bytes_le=self.take(16))

    def counted(self) -> bytes:
        data = self.take(self.u32())
        if any(self.take(-len(data) % _WORD)):
            raise Malformed(f"its padding before byte {self._at} is not zero")
        return data

    def text(self) -> str:
        data = self.counted()
        if self.u32():
            raise Malformed(f"a text before byte {self._at} does not end with zero")
        try:
            return data.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise Malformed(f"a text before byte {self._at} is not UTF-16") from error

    def many(self, read: Callable[[], T], least: int, count: int | None = None) -> tuple[T, ...]:
        """``count`` items (or as many as are announced here) of at least ``least`` bytes each."""
        number = self.u32() if count is None else count
        if number * least > len(self._data) - self._at:
            raise Malformed(f"it announces more items before byte {self._at} than it can hold")
        return tuple(read() for _ in range(number))

    def positions(self, of: int, what: str) -> tuple[int, ...]:
        """Positions in a list of ``of`` items."""
        found = self.many(self.u32, _WORD)
        if any(item >= of for item in found):
            raise Malformed(f"it refers to a {what} that it does not have")
        return found

    def position(self, of: int, what: str) -> int:
        found = self.u32()
        if found >= of:
            raise Malformed(f"it refers to a {what} that it does not have")
        return found

    def block(self, number: int) -> None:
        found = self.u32()
        if found != number:
            raise Malformed(f"block {number} does not start where it must, at byte {self._at - _WORD}")

    def end(self) -> None:
        if self._at != len(self._data):
            raise Malformed(f"{len(self._data) - self._at} bytes follow its end")


def read_body(header: CiPolicyHeader, content: bytes) -> CiPolicyBody:
    """Read the body of a bare policy whose header was read. Raises ``Malformed``, ``Unsupported``.

    Messages are clauses (``its body is cut short at …``): the caller says which policy is meant.
    """
    return _BodyReader(header, content).read()


class _BodyReader:
    def __init__(self, header: CiPolicyHeader, content: bytes) -> None:
        self._header = header
        self._reader = _Reader(content)

    def read(self) -> CiPolicyBody:
        header, reader = self._header, self._reader
        body = CiPolicyBody(
            ekus=reader.many(reader.counted, _WORD, header.ekus),
            file_rules=reader.many(self._file_rule, 2 * _WORD + _TEXT + 8, header.file_rules),
            signers=reader.many(self._signer, 4 * _WORD + 3 * _TEXT, header.signers),
            update_signers=reader.positions(header.signers, "signer"),
            ci_signers=reader.positions(header.signers, "signer"),
            scenarios=reader.many(self._scenario, 12 * _WORD, header.scenarios),
            hvci_options=reader.u32(),
            settings=reader.many(self._setting, 3 * _TEXT + 2 * _WORD),
        )
        for number, read in _BLOCKS.items():
            if header.format_version >= number:
                reader.block(number)
                body = read(self, body)
        reader.block(header.format_version + 1)
        reader.end()
        return body

    # The part that all formats have

    def _file_rule(self) -> FileRule:
        reader = self._reader
        kind = reader.u32()
        if kind not in FileRuleKind._value2member_map_:
            raise Unsupported(f"it has a file rule of the unknown kind {kind}")
        return FileRule(FileRuleKind(kind), reader.text(), reader.version(), reader.counted())

    def _signer(self) -> Signer:
        reader, header = self._reader, self._header
        kind = reader.u32()
        if kind not in (0, 1):
            raise Unsupported(f"it has a signer with a root of the unknown kind {kind}")
        tbs, well_known = (reader.counted(), None) if kind == 0 else (b"", reader.u32())
        return Signer(
            tbs,
            well_known,
            ekus=reader.positions(header.ekus, "key usage"),
            issuer=reader.text(),
            publisher=reader.text(),
            oem_id=reader.text(),
            attributes=reader.positions(header.file_rules, "file rule"),
        )

    def _scenario(self) -> Scenario:
        reader, header = self._reader, self._header
        value, inherited, minimum_hash = reader.u32(), reader.positions(header.scenarios, "scenario"), reader.u32()
        product, test, test_signing = (self._group(header.file_rules, "file rule") for _ in range(3))
        return Scenario(value, inherited, minimum_hash, product, test, test_signing)

    def _group(self, rules: int, what: str) -> SignerGroup:
        reader = self._reader
        return SignerGroup(
            reader.many(self._use, 2 * _WORD), reader.many(self._use, 2 * _WORD), reader.positions(rules, what)
        )

    def _use(self) -> SignerUse:
        reader, header = self._reader, self._header
        return SignerUse(reader.position(header.signers, "signer"), reader.positions(header.file_rules, "file rule"))

    def _setting(self) -> SecureSetting:
        reader = self._reader
        return SecureSetting(reader.text(), reader.text(), reader.text(), self._setting_value())

    def _setting_value(self) -> bool | int | bytes | str:
        reader = self._reader
        kind = reader.u32()
        if kind == 0:
            value = reader.u32()
            if value > 1:
                raise Malformed("it has a secure setting that is neither true nor false")
            return bool(value)
        if kind == 1:
            return reader.u32()
        if kind in (2, 3):
            return reader.counted() if kind == 2 else reader.text()
        raise Unsupported(f"it has a secure setting of the unknown kind {kind}")

    # Blocks that later formats brought

    def _versions_and_times(self, body: CiPolicyBody) -> CiPolicyBody:
        reader = self._reader
        rules = tuple(
            replace(rule, maximum_version=reader.version(), app_ids=reader.many(reader.text, _TEXT))
            for rule in body.file_rules
        )
        signers = tuple(replace(signer, sign_time_after=reader.u64()) for signer in body.signers)
        return replace(body, file_rules=rules, signers=signers)

    def _descriptions(self, body: CiPolicyBody) -> CiPolicyBody:
        text = self._reader.text
        rules = (replace(rule, internal_name=text(), description=text(), product=text()) for rule in body.file_rules)
        return replace(body, file_rules=tuple(rules))

    def _packages(self, body: CiPolicyBody) -> CiPolicyBody:
        reader = self._reader
        rules = (
            replace(rule, package_family=reader.text(), package_version=reader.version()) for rule in body.file_rules
        )
        return replace(body, file_rules=tuple(rules))

    def _identity(self, body: CiPolicyBody) -> CiPolicyBody:
        reader = self._reader
        return replace(
            body,
            policy_id=reader.guid(),
            base_policy_id=reader.guid(),
            supplemental_signers=reader.positions(self._header.signers, "signer"),
        )

    def _paths(self, body: CiPolicyBody) -> CiPolicyBody:
        return replace(body, file_rules=tuple(replace(rule, path=self._reader.text()) for rule in body.file_rules))

    def _apps(self, body: CiPolicyBody) -> CiPolicyBody:
        return replace(body, apps=self._reader.many(self._app, _TEXT + _WORD))

    def _app(self) -> App:
        reader = self._reader
        return App(reader.text(), reader.many(self._app_setting, _TEXT + 2 + _WORD))

    def _app_setting(self) -> AppSetting:
        reader = self._reader
        name, kind = reader.text(), reader.u8()
        value: bool | int | str | tuple[str, ...]
        if kind == 0:
            value = bool(number := reader.u8())
            if number > 1:
                raise Malformed("it has an application's setting that is neither true nor false")
        elif kind == 1:
            value = reader.u8()
        elif kind in (3, 4):
            value = reader.text() if kind == 3 else reader.many(reader.text, _TEXT)
        else:
            raise Unsupported(f"it has an application's setting of the unknown kind {kind}")
        return AppSetting(name, value, reader.u32())

    def _hotpatches(self, body: CiPolicyBody) -> CiPolicyBody:
        return replace(body, hotpatches=self._reader.many(self._hotpatch, 4 * _WORD))

    def _hotpatch(self) -> Hotpatch:
        reader, rules = self._reader, self._header.file_rules
        return Hotpatch(
            reader.position(rules, "file rule"), reader.position(rules, "file rule"), reader.u32(), reader.u32()
        )

    def _artifacts(self, body: CiPolicyBody) -> CiPolicyBody:
        reader = self._reader
        rules = reader.many(self._artifact_rule, 3 * _WORD + 2 * _TEXT + 16)
        body = replace(body, artifact_rules=rules, signers=self._of_signers(body, len(rules), "artifact rule"))
        return replace(
            body,
            scenarios=tuple(
                replace(scenario, artifacts=self._group(len(rules), "artifact rule")) for scenario in body.scenarios
            ),
        )

    def _artifact_rule(self) -> ArtifactRule:
        reader = self._reader
        return ArtifactRule(
            reader.u32(),
            reader.u32(),
            reader.text(),
            reader.text(),
            reader.version(),
            reader.version(),
            reader.counted(),
        )

    def _eku_exceptions(self, body: CiPolicyBody) -> CiPolicyBody:
        return replace(body, signers=self._of_signers(body, len(body.ekus), "key usage"))

    def _of_signers(self, body: CiPolicyBody, of: int, what: str) -> tuple[Signer, ...]:
        """The signers with the positions that are given here for some of them, in rising order of signers."""
        name = "artifacts" if what == "artifact rule" else "except_ekus"
        signers, before = list(body.signers), -1
        for _ in self._reader.many(lambda: None, 2 * _WORD):
            signer = self._reader.position(len(signers), "signer")
            found = self._reader.positions(of, what)
            if signer <= before or not found:
                raise Malformed(f"it lists the {what}s of its signers out of order")
            signers[signer] = _with(signers[signer], name, found)
            before = signer
        return tuple(signers)


def _with(signer: Signer, name: str, found: tuple[int, ...]) -> Signer:
    return replace(signer, artifacts=found) if name == "artifacts" else replace(signer, except_ekus=found)


_BLOCKS: Final[dict[int, Callable[[_BodyReader, CiPolicyBody], CiPolicyBody]]] = {
    3: _BodyReader._versions_and_times,
    4: _BodyReader._descriptions,
    5: _BodyReader._packages,
    6: _BodyReader._identity,
    7: _BodyReader._paths,
    8: _BodyReader._apps,
    9: _BodyReader._hotpatches,
    10: _BodyReader._artifacts,
    11: _BodyReader._eku_exceptions,
}
