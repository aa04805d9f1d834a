"""Bytes to messages. Strict: sizes first, no duplicate or unknown member, ``__type`` first where present."""

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, Final, TypeVar

from hgs.wire.errors import HgsaError
from hgs.wire.hgsa import messages as m
from hgs.wire.hgsa.enums import (
    AttestationOperationMode,
    AttestationProvidedContentType,
    AttestationResultType,
)
from hgs.wire.hgsa.writing import PLAIN_ERRORS, TYPE_SUFFIX

MAX_REQUEST: Final = 1024 * 1024
"""Bytes of one HTTP body, before anything is parsed."""
MAX_BINARY: Final = 768 * 1024
"""Bytes of one binary member, decoded."""
MAX_ITEMS: Final = 32
"""Entries of one list."""
MAX_OBJECTS: Final = 2 * MAX_ITEMS
"""JSON objects of one message, which is one and the entries of a list or two."""
_ENUM = TypeVar("_ENUM", bound=IntEnum)


def parse_message(data: bytes) -> m.Message:
    """Read one message of either direction. Raises :class:`HgsaError` with what is wrong.

    A message without ``__type`` can only be an AttestationRequest or an EndorsementKey; their members tell which.
    """
    body = _load(data)
    if not isinstance(body, dict):
        raise HgsaError("The message is not a JSON object.")
    name = _type_name(body)
    reader = _READERS.get(name)
    if reader is None:
        raise HgsaError("The message is of an unknown type.")
    return reader(_Members(name, body))


def _load(data: bytes) -> Any:
    if len(data) > MAX_REQUEST:
        raise HgsaError(f"The message has {len(data)} bytes; the limit is {MAX_REQUEST}.")
    if data.count(b"{") > MAX_OBJECTS:  # no text of a message has one
        raise HgsaError(f"The message has more than {MAX_OBJECTS} objects.")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse, parse_float=_refuse)
    except (ValueError, RecursionError) as error:
        raise HgsaError("The message is not JSON as MS-HGSA writes it.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_ITEMS:
        raise ValueError("too many members")
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError("duplicate member")
    if "__type" in body and pairs[0][0] != "__type":
        raise ValueError("__type is not the first member")
    return body


def _refuse(text: str) -> Any:
    raise ValueError(f"number {text[:20]!r} is not an integer")


def _type_name(body: Mapping[str, Any]) -> str:
    if "__type" not in body:
        return "EndorsementKey" if set(body) == {"Key"} else "AttestationRequest"
    value = body["__type"]
    if not isinstance(value, str) or not value.endswith(TYPE_SUFFIX):
        raise HgsaError("The message's __type is not of MS-HGSA.")
    return value.removesuffix(TYPE_SUFFIX)


class _Members:
    """The members of one JSON object, taken one by one; what is left over at ``done`` is an error."""

    def __init__(self, name: str, body: Mapping[str, Any]) -> None:
        self.name = name
        self._left = {key: value for key, value in body.items() if key != "__type"}

    def take(self, key: str) -> Any:
        if key not in self._left:
            raise HgsaError(f"{self.name} lacks its member {key}.")
        return self._left.pop(key)

    def bytes_(self, key: str) -> bytes:
        return _bytes_in(self.take(key), f"{self.name}.{key}")

    def guid(self, key: str) -> uuid.UUID:
        return _guid_in(self.take(key), f"{self.name}.{key}")

    def boolean(self, key: str) -> bool:
        value = self.take(key)
        if not isinstance(value, bool):
            raise HgsaError(f"{self.name}.{key} is not true or false.")
        return value

    def u32(self, key: str) -> int:
        return _u32_in(self.take(key), f"{self.name}.{key}")

    def enum(self, key: str, kind: type[_ENUM]) -> _ENUM:
        return _enum_in(self.take(key), kind, f"{self.name}.{key}")

    def list_(self, key: str) -> list[Any]:
        value = self.take(key)
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise HgsaError(f"{self.name}.{key} is not a list of at most {MAX_ITEMS}.")
        return value

    def results(self, key: str) -> tuple[AttestationResultType, ...]:
        where = f"{self.name}.{key}"
        found = tuple(_enum_in(item, AttestationResultType, where) for item in self.list_(key))
        if len(set(found)) != len(found):
            raise HgsaError(f"{where} asks for the same content twice.")
        return found

    def pairs(self, key: str, kind: type[_ENUM]) -> tuple[tuple[_ENUM, bytes], ...]:
        where = f"{self.name}.{key}"
        pairs: list[tuple[_ENUM, bytes]] = []
        for item in self.list_(key):
            if not isinstance(item, dict):
                raise HgsaError(f"{where} holds something that is not a tuple.")
            members = _Members(where, item)
            pairs.append((members.enum("m_Item1", kind), members.bytes_("m_Item2")))
            members.done()
        if len({first for first, _ in pairs}) != len(pairs):
            raise HgsaError(f"{where} holds the same content twice.")
        return tuple(pairs)

    def done(self) -> None:
        if self._left:
            raise HgsaError(f"{self.name} has the unknown member {sorted(self._left)[0][:40]!r}.")


def _bytes_in(value: Any, where: str) -> bytes:
    if isinstance(value, str):
        if len(value) > (MAX_BINARY + 2) // 3 * 4:
            raise HgsaError(f"{where} is larger than {MAX_BINARY} bytes.")
        try:
            decoded = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise HgsaError(f"{where} is not base64.") from error
        if base64.b64encode(decoded).decode() != value:
            raise HgsaError(f"{where} is not base64 in its one form.")
        return decoded
    if isinstance(value, list) and set(map(type, value)) <= {int}:
        try:
            return bytes(value)
        except (ValueError, OverflowError):
            pass
    raise HgsaError(f"{where} is neither base64 nor a list of byte values.")


def _guid_in(value: Any, where: str) -> uuid.UUID:
    if isinstance(value, str) and len(value) == 36:
        try:
            guid = uuid.UUID(value)
        except ValueError as error:
            raise HgsaError(f"{where} is not a GUID.") from error
        if str(guid) != value.lower():
            raise HgsaError(f"{where} is not a GUID.")
        return guid
    raw = _bytes_in(value, where)
    if len(raw) != 16:
        raise HgsaError(f"{where} is not a GUID.")
    return uuid.UUID(bytes_le=raw)


def _u32_in(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value < 2**32:
        raise HgsaError(f"{where} is not an unsigned 32-bit number.")
    return value


def _enum_in(value: Any, kind: type[_ENUM], where: str) -> _ENUM:
    try:
        return kind(_u32_in(value, where))
    except ValueError as error:
        raise HgsaError(f"{where} holds the unknown value {value}.") from error


def _read_attestation(x: _Members) -> m.Message:
    message = m.AttestationRequest(
        x.guid("SessionId"),
        x.results("RequestedContent"),
        x.pairs("ProvidedContent", AttestationProvidedContentType),
    )
    x.done()
    return message


def _read_initial(x: _Members) -> m.Message:
    message = m.TpmRequestInitial(
        x.guid("SessionId"), x.results("RequestedContent"), x.bytes_("RtpmPublicEndorsementKey")
    )
    x.done()
    return message


def _read_continue(x: _Members) -> m.Message:
    message = m.TpmRequestContinue(
        x.guid("SessionId"),
        x.results("RequestedContent"),
        x.bytes_("RtpmPublicEndorsementKey"),
        x.bytes_("RtpmNewContext"),
    )
    x.done()
    return message


def _read_reply_continue(x: _Members) -> m.Message:
    message = m.TpmReplyContinue(x.bytes_("RtpmActiveContext"))
    x.done()
    return message


def _read_ad(x: _Members) -> m.Message:
    message = m.ADRequest(x.guid("SessionId"), x.pairs("RequestedContent", AttestationResultType))
    x.done()
    return message


def _read_health(x: _Members) -> m.Message:
    message = m.HealthCertificateReply(x.pairs("Content", AttestationResultType))
    x.done()
    return message


def _read_info(x: _Members) -> m.Message:
    level = x.u32("FunctionalLevel")
    mode = x.enum("OperationMode", AttestationOperationMode)
    levels = tuple(_u32_in(item, f"{x.name}.levels") for item in x.list_("SupportedFunctionalLevels"))
    x.done()
    return m.ServiceInfoReply(level, mode, levels)


def _read_key(x: _Members) -> m.Message:
    message = m.EndorsementKey(x.bytes_("Key"))
    x.done()
    return message


def _read_mode_error(x: _Members) -> m.Message:
    retryable = x.boolean("Retryable")
    message = m.OperationModeErrorReply(retryable, x.enum("ExpectedOperationMode", AttestationOperationMode))
    x.done()
    return message


def _read_policy_error(x: _Members) -> m.Message:
    retryable = x.boolean("Retryable")
    reasons: list[m.EvaluationLog] = []
    for item in x.list_("Reasons"):
        if not isinstance(item, dict):
            raise HgsaError("PolicyEvaluationErrorReply.Reasons holds something that is not an evaluation.")
        entry = _Members("EvaluationLog", item)
        reasons.append(m.EvaluationLog(entry.boolean("Result"), entry.guid("Reason")))
        entry.done()
    x.done()
    return m.PolicyEvaluationErrorReply(retryable, tuple(reasons))


def _error_reader(kind: type[m.ErrorReply]) -> Callable[[_Members], m.Message]:
    def read(x: _Members) -> m.Message:
        message = kind(x.boolean("Retryable"))
        x.done()
        return message

    return read


_READERS: Final[dict[str, Callable[[_Members], m.Message]]] = {
    "AttestationRequest": _read_attestation,
    "TpmRequestInitial": _read_initial,
    "TpmRequestContinue": _read_continue,
    "TpmReplyContinue": _read_reply_continue,
    "ADRequest": _read_ad,
    "HealthCertificateReply": _read_health,
    "ServiceInfoReply": _read_info,
    "EndorsementKey": _read_key,
    "OperationModeErrorReply": _read_mode_error,
    "PolicyEvaluationErrorReply": _read_policy_error,
    **{kind.__name__: _error_reader(kind) for kind in PLAIN_ERRORS},
}


def parse_certificate_bag(data: bytes) -> bytes:
    """The PKCS#7 bag out of a signingCertificates reply; an array of numbers or a base64 string."""
    return _bytes_in(_load(data), "signingCertificates")
