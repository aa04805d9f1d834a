"""Writes the body of a code-integrity policy: the exact reverse of :mod:`hgs.attestation.ci_policy.reading`."""

import struct
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from hgs.attestation.ci_policy.header import Version
from hgs.attestation.ci_policy.model import (
    App,
    AppSetting,
    ArtifactRule,
    CiPolicyBody,
    FileRule,
    Scenario,
    SecureSetting,
    Signer,
    SignerGroup,
    SignerUse,
)
from hgs.attestation.errors import Unsupported
from hgs.attestation.sipa import pack_version

T = TypeVar("T")


def write_body(body: CiPolicyBody, format_version: int) -> bytes:
    """The body's bytes in a format. Raises ``Unsupported`` if the format cannot hold what the body says."""
    needed = least_format(body)
    if format_version < needed:
        raise Unsupported(
            f"A code-integrity policy of format {format_version} cannot hold these rules; format {needed} can."
        )
    parts = [
        b"".join(map(_counted, body.ekus)),
        b"".join(map(_file_rule, body.file_rules)),
        b"".join(map(_signer, body.signers)),
        _positions(body.update_signers),
        _positions(body.ci_signers),
        b"".join(map(_scenario, body.scenarios)),
        _u32(body.hvci_options),
        _many(body.settings, _setting),
    ]
    for number, write in _BLOCKS.items():
        if format_version >= number:
            parts += (_u32(number), write(body))
    return b"".join([*parts, _u32(format_version + 1)])


def least_format(body: CiPolicyBody) -> int:
    """The lowest format that can hold everything in the body (1 if nothing needs a later one)."""
    rules, signers = body.file_rules, body.signers
    needs = {
        11: any(signer.except_ekus for signer in signers),
        10: bool(body.artifact_rules)
        or any(signer.artifacts for signer in signers)
        or any(scenario.artifacts != SignerGroup() for scenario in body.scenarios),
        9: bool(body.hotpatches),
        8: bool(body.apps),
        7: any(rule.path for rule in rules),
        6: bool(body.supplemental_signers) or body.policy_id is not None or body.base_policy_id is not None,
        5: any(rule.package_family or any(rule.package_version) for rule in rules),
        4: any(rule.internal_name or rule.description or rule.product for rule in rules),
        3: any(rule.app_ids or any(rule.maximum_version) for rule in rules)
        or any(signer.sign_time_after for signer in signers),
    }
    return next((number for number, needed in needs.items() if needed), 1)


def _u32(value: int) -> bytes:
    return struct.pack("<I", value)


def _version(version: Version) -> bytes:
    return struct.pack("<Q", pack_version(version))


def _counted(data: bytes) -> bytes:
    return _u32(len(data)) + data + bytes(-len(data) % 4)


def _text(value: str) -> bytes:
    return _counted(value.encode("utf-16-le")) + bytes(4)


def _many(items: tuple[T, ...], write: Callable[[T], bytes]) -> bytes:
    return _u32(len(items)) + b"".join(map(write, items))


def _positions(items: Iterable[int]) -> bytes:
    return _many(tuple(items), _u32)


def _file_rule(rule: FileRule) -> bytes:
    return _u32(rule.kind) + _text(rule.file_name) + _version(rule.minimum_version) + _counted(rule.hash)


def _signer(signer: Signer) -> bytes:
    root = _u32(0) + _counted(signer.tbs) if signer.well_known is None else _u32(1) + _u32(signer.well_known)
    names = b"".join(map(_text, (signer.issuer, signer.publisher, signer.oem_id)))
    return root + _positions(signer.ekus) + names + _positions(signer.attributes)


def _scenario(scenario: Scenario) -> bytes:
    groups = (scenario.product, scenario.test, scenario.test_signing)
    head = _u32(scenario.value) + _positions(scenario.inherited) + _u32(scenario.minimum_hash)
    return head + b"".join(map(_group, groups))


def _group(group: SignerGroup) -> bytes:
    return _many(group.allowed, _use) + _many(group.denied, _use) + _positions(group.rules)


def _use(use: SignerUse) -> bytes:
    return _u32(use.signer) + _positions(use.exceptions)


def _setting(setting: SecureSetting) -> bytes:
    return b"".join(map(_text, (setting.provider, setting.key, setting.name))) + _setting_value(setting.value)


def _setting_value(value: bool | int | bytes | str) -> bytes:
    if isinstance(value, bool):
        return _u32(0) + _u32(value)
    if isinstance(value, int):
        return _u32(1) + _u32(value)
    return _u32(2) + _counted(value) if isinstance(value, bytes) else _u32(3) + _text(value)


def _versions_and_times(body: CiPolicyBody) -> bytes:
    rules = (_version(rule.maximum_version) + _many(rule.app_ids, _text) for rule in body.file_rules)
    return b"".join([*rules, *(struct.pack("<Q", signer.sign_time_after) for signer in body.signers)])


def _descriptions(body: CiPolicyBody) -> bytes:
    return b"".join(
        _text(rule.internal_name) + _text(rule.description) + _text(rule.product) for rule in body.file_rules
    )


def _packages(body: CiPolicyBody) -> bytes:
    return b"".join(_text(rule.package_family) + _version(rule.package_version) for rule in body.file_rules)


def _identity(body: CiPolicyBody) -> bytes:
    ids = (item.bytes_le if item else bytes(16) for item in (body.policy_id, body.base_policy_id))
    return b"".join(ids) + _positions(body.supplemental_signers)


def _paths(body: CiPolicyBody) -> bytes:
    return b"".join(_text(rule.path) for rule in body.file_rules)


def _apps(body: CiPolicyBody) -> bytes:
    return _many(body.apps, _app)


def _app(app: App) -> bytes:
    return _text(app.manifest) + _many(app.settings, _app_setting)


def _app_setting(setting: AppSetting) -> bytes:
    value = setting.value
    if isinstance(value, bool):
        data = bytes([0, value])
    elif isinstance(value, int):
        data = bytes([1, value])
    else:
        data = b"\x03" + _text(value) if isinstance(value, str) else b"\x04" + _many(value, _text)
    return _text(setting.name) + data + _u32(setting.flags)


def _hotpatches(body: CiPolicyBody) -> bytes:
    return _many(body.hotpatches, lambda item: struct.pack("<IIII", item.base, item.target, item.minimum, item.maximum))


def _artifacts(body: CiPolicyBody) -> bytes:
    groups = b"".join(_group(scenario.artifacts) for scenario in body.scenarios)
    return _many(body.artifact_rules, _artifact_rule) + _of_signers(body, lambda item: item.artifacts) + groups


def _artifact_rule(rule: ArtifactRule) -> bytes:
    head = struct.pack("<II", rule.kind, rule.action) + _text(rule.name) + _text(rule.description)
    return head + _version(rule.minimum_version) + _version(rule.maximum_version) + _counted(rule.hash)


def _eku_exceptions(body: CiPolicyBody) -> bytes:
    return _of_signers(body, lambda item: item.except_ekus)


def _of_signers(body: CiPolicyBody, read: Callable[[Signer], tuple[int, ...]]) -> bytes:
    found = tuple((number, items) for number, signer in enumerate(body.signers) if (items := read(signer)))
    return _many(found, lambda pair: _u32(pair[0]) + _positions(pair[1]))


_BLOCKS: Final[dict[int, Callable[[CiPolicyBody], bytes]]] = {
    3: _versions_and_times,
    4: _descriptions,
    5: _packages,
    6: _identity,
    7: _paths,
    8: _apps,
    9: _hotpatches,
    10: _artifacts,
    11: _eku_exceptions,
}
