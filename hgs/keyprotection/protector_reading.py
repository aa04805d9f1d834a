"""Reads key protectors: nearly all of them by a pattern, the others by the strict reader.

HGS reads one for each key that it releases, and the tree that the strict reader builds first takes longer than a
signature. The pattern is made from what the writer writes, with the algorithms of today in it. Its result counts only
where the writer makes of it the very bytes that were read. Then the strict reader, which is asked in every other case,
would have read the same: a document has one reading, because all values stand between markup that none can hold.
"""

from __future__ import annotations

from functools import cache
from re import Pattern
from typing import Final, NamedTuple

from hgs.keyprotection import algorithms, protector_form
from hgs.keyprotection.certificates import CERTIFICATE_MAX
from hgs.keyprotection.elements import SIGNATURE_MAX, EncryptedData, KeyDerivationMethod, Signature
from hgs.keyprotection.protector_form import CIPHER_MAX, PROTECTOR_MAX, WRAPPINGS_MAX, Protector, Wrapping
from hgs.keyprotection.transport_key import purpose_info
from hgs.wire import patterns
from hgs.wire.patterns import BASE64, UNSIGNED
from hgs.wire.xmlform import UNSIGNED_INT_MAX

_BETWEEN: Final = (b"<Wrapping>", b"</Wrapping>")
_OFFLINE: Final = b' MaxOfflineUnwraps="9"'


class _Patterns(NamedTuple):
    start: Pattern[bytes]
    wrapping: Pattern[bytes]
    end: Pattern[bytes]
    encrypted: EncryptedData
    derivation: KeyDerivationMethod


def parse_protector(data: bytes) -> Protector:
    """Parse a protector file. Raises InvalidProtectorError, InvalidWrappingError."""
    return _read(data) or protector_form.parse_protector(data)


def import_protector(data: bytes) -> Protector:
    """As `parse_protector`, and takes off the length that WMI puts before it."""
    return _read(data) or protector_form.import_protector(data)


def _read(data: bytes) -> Protector | None:
    """The protector; None where the strict reader has to look."""
    if len(data) > PROTECTOR_MAX:
        return None
    try:
        protector = _match(data)
    except ValueError:
        return None
    if protector is None or protector_form.serialise_protector(protector) != data:
        return None
    return protector


def _match(data: bytes) -> Protector | None:
    known = _patterns()
    start = known.start.match(data)
    if start is None:
        return None
    wrappings, at = [], start.end()
    while found := known.wrapping.match(data, at):
        wrappings.append(_wrapping(found.groups(), known.encrypted))
        at = found.end()
    end = known.end.fullmatch(data, at)
    if end is None or not 0 < len(wrappings) <= WRAPPINGS_MAX or len({one.id for one in wrappings}) != len(wrappings):
        return None
    authentication, signer, signature = end.groups()
    return Protector(
        tuple(wrappings),
        known.derivation,
        Signature(algorithms.HMAC_SHA256, patterns.base64_value(authentication, SIGNATURE_MAX)),
        _number(signer),
        _signature(signature),
        _number(start[1] or b"0"),
    )


def _wrapping(values: tuple[bytes, ...], encrypted: EncryptedData) -> Wrapping:
    identifier, signing, parent, signing_signature, encryption, encryption_signature, cipher = values
    return Wrapping(
        _number(identifier),
        patterns.base64_value(signing, CERTIFICATE_MAX),
        _number(parent),
        _signature(signing_signature),
        patterns.base64_value(encryption, CERTIFICATE_MAX),
        _signature(encryption_signature),
        EncryptedData(encrypted.algorithm, patterns.base64_value(cipher, CIPHER_MAX), encrypted.parameters),
    )


def _signature(value: bytes) -> Signature:
    return Signature(algorithms.RSA_PSS_SHA256, patterns.base64_value(value, SIGNATURE_MAX))


def _number(text: bytes) -> int:
    value = int(text)
    if value > UNSIGNED_INT_MAX:
        raise ValueError
    return value


@cache
def _patterns() -> _Patterns:
    """From a sample with one wrapping, cut before and behind it."""
    values = [letter * 12 for letter in (b"a", b"b", b"c", b"d", b"e", b"f", b"g")]
    signed = [Signature(algorithms.RSA_PSS_SHA256, value) for value in values]
    encrypted = EncryptedData(algorithms.RSA_OAEP, values[4], algorithms.transport_key_parameters())
    derivation = algorithms.hkdf_method(purpose_info("transport-key-signature"))
    wrapping = Wrapping(4123456781, values[0], 4123456782, signed[1], values[2], signed[3], encrypted)
    authentication = Signature(algorithms.HMAC_SHA256, values[5])
    sample = protector_form.serialise_protector(
        Protector((wrapping,), derivation, authentication, 4123456783, signed[6], 9)
    )
    first, last = sample.index(_BETWEEN[0]), sample.index(_BETWEEN[1]) + len(_BETWEEN[1])
    text = [patterns.text_of(value) for value in values]
    return _Patterns(
        patterns.pattern_of(sample[:first], {_OFFLINE: rb'(?: MaxOfflineUnwraps="([1-9][0-9]{0,9})")?'}),
        patterns.pattern_of(
            sample[first:last],
            {b"4123456781": UNSIGNED, b"4123456782": UNSIGNED} | dict.fromkeys(text[:5], BASE64),
        ),
        patterns.pattern_of(sample[last:], {b"4123456783": UNSIGNED} | dict.fromkeys(text[5:], BASE64)),
        encrypted,
        derivation,
    )
