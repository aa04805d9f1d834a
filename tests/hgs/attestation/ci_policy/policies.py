"""Policies to try things on: one of each kind, drawn ones, and seeds for the fuzzer."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from asn1crypto import core
from hypothesis import strategies as st

from hgs.attestation.ci_policy import (
    ALWAYS_SET,
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    PolicyDocument,
    PolicyOption,
    Scenario,
    ScenarioValue,
    SecureSetting,
    Signer,
    SignerGroup,
    SignerUse,
    build_ci_policy,
    information,
)
from hgs.attestation.ci_policy.model import App, AppSetting, ArtifactRule, Hotpatch

POLICY_ID: Final = UUID("11111111-2222-3333-4444-555555555555")
OPTIONS: Final = int(ALWAYS_SET | PolicyOption.USER_MODE | PolicyOption.UNSIGNED_POLICY)
EKU: Final = bytes.fromhex("010a2b0601040182370a0306")
TBS: Final = bytes(range(32))
FOO_HASH: Final = b"\xf0" * 32
LAST: Final = 11


def document(body: CiPolicyBody, *, format_version: int = 7, options: int = OPTIONS) -> PolicyDocument:
    """A base policy with that body."""
    ids = {"policy_id": POLICY_ID, "base_policy_id": POLICY_ID} if format_version >= 6 else {}
    whole = CiPolicyBody(**{**body.__dict__, **ids})
    return PolicyDocument(whole, options, policy_type=POLICY_ID, format_version=format_version)


def drivers(group: SignerGroup, **lists: Any) -> CiPolicyBody:
    """A body with one scenario, that for drivers."""
    return CiPolicyBody(scenarios=(Scenario(ScenarioValue.KERNEL, product=group),), **lists)


def everything(format_version: int = LAST) -> PolicyDocument:
    """A policy that uses all that a format has."""
    since = {number: format_version >= number for number in range(1, LAST + 1)}
    rule: dict[str, Any] = {}
    if since[3]:
        rule |= {"maximum_version": (9, 9, 9, 9), "app_ids": ("S-1-2", "S-1-3")}
    if since[4]:
        rule |= {"internal_name": "inner", "description": "What it does", "product": "Product"}
    if since[5]:
        rule |= {"package_family": "family", "package_version": (1, 0, 0, 1)}
    if since[7]:
        rule |= {"path": "%OSDRIVE%\\x\\*"}
    rules = (
        FileRule(FileRuleKind.DENY, "bad.sys", (65535, 65535, 65535, 65535)),
        FileRule(FileRuleKind.ALLOW, hash=FOO_HASH),
        FileRule(FileRuleKind.ATTRIBUTE, "Käse.sys", (1, 2, 3, 4), **rule),
    )
    signers = (
        Signer(TBS, ekus=(0,), issuer="CA", publisher="Foo Inc.", oem_id="Foo", attributes=(2,)),
        Signer(
            well_known=6,
            sign_time_after=132_000_000_000_000_001 if since[3] else 0,
            except_ekus=(0,) if since[11] else (),
            artifacts=(0,) if since[10] else (),
        ),
    )
    group = SignerGroup((SignerUse(0, (0,)), SignerUse(1)), (SignerUse(1, (1,)),), (0, 1))
    artifacts = SignerGroup((SignerUse(1),), (), (0,)) if since[10] else SignerGroup()
    body = CiPolicyBody(
        ekus=(EKU, b"\x06\x03\x2a\x03\x04"),
        file_rules=rules,
        signers=signers,
        update_signers=(0,),
        ci_signers=(1,),
        scenarios=(
            Scenario(ScenarioValue.KERNEL, (1,), product=group, test=SignerGroup(rules=(1,)), artifacts=artifacts),
            Scenario(ScenarioValue.USER_MODE, minimum_hash=0x800E, test_signing=SignerGroup(rules=(0,))),
        ),
        hvci_options=2,
        settings=(
            SecureSetting("P", "K", "a", value=True),
            SecureSetting("P", "K", "b", 7),
            SecureSetting("P", "K", "c", b"\x01\x02\x03"),
            *information("All", "2026-01-01"),
        ),
        supplemental_signers=(1,) if since[6] else (),
        apps=(App("app", tuple(AppSetting(f"n{n}", value) for n, value in enumerate(_APP_VALUES))),)
        if since[8]
        else (),
        hotpatches=(Hotpatch(1, 1, 0, 9),) if since[9] else (),
        artifact_rules=(ArtifactRule(0, 1, "disk", "", (0, 0, 0, 0), (1, 0, 0, 0), b"\x05" * 32),) if since[10] else (),
    )
    return document(body, format_version=format_version)


_APP_VALUES: Final[tuple[bool | int | str | tuple[str, ...], ...]] = (True, 5, "text", ("a", "b"))


def der(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    body = b"".join(parts)
    size = len(body)
    return bytes([tag]) + (bytes([size]) if size < 128 else b"\x83" + size.to_bytes(3, "big")) + body


def wrapped(content: bytes) -> bytes:
    """CMS SignedData without signers around ``content``, as the signing tools nest it."""
    policy_type = core.ObjectIdentifier("1.3.6.1.4.1.311.79.1").dump()
    signed_data = core.ObjectIdentifier("1.2.840.113549.1.7.2").dump()
    inner = der(0x30, policy_type, der(0xA0, der(0x04, content)))
    return der(0x30, signed_data, der(0xA0, der(0x30, der(0x02, b"\x01"), der(0x31), inner, der(0x31))))


_texts = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cn", "Cc")), max_size=8)
_versions = st.tuples(*[st.integers(0, 65535)] * 4)
_words = st.integers(0, 0xFFFFFFFF)


@st.composite
def documents(draw: st.DrawFn, *, for_xml: bool = False) -> PolicyDocument:
    """Any policy that our types can hold; ``for_xml`` leaves out what XML has no form for."""
    number = draw(st.integers(1, 7 if for_xml else LAST))
    ekus = draw(st.lists(st.binary(max_size=9), max_size=2))
    rules = draw(st.lists(_rules(number), max_size=4))
    signers = draw(st.lists(_signers(number, len(ekus), len(rules), for_xml=for_xml), max_size=3))
    group = _groups(len(signers), len(rules))
    scenarios = draw(st.lists(_scenarios(group, for_xml=for_xml), max_size=2))
    signer = _positions(len(signers))
    body = CiPolicyBody(
        tuple(ekus),
        tuple(rules),
        tuple(signers),
        draw(signer),
        draw(signer),
        tuple(scenarios),
        draw(_words),
        tuple(draw(st.lists(_settings(), max_size=2))),
        draw(st.uuids()) if number >= 6 else None,
        draw(st.uuids()) if number >= 6 else None,
        draw(signer) if number >= 6 else (),
    )
    known = st.sampled_from(list(PolicyOption)).map(int)
    options = draw(known if for_xml else _words) | ALWAYS_SET
    return PolicyDocument(body, int(options), draw(_versions), draw(st.uuids()), draw(st.uuids()), number)


def _positions(of: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, of - 1), max_size=2).map(tuple) if of else st.just(())


def _rules(number: int) -> st.SearchStrategy[FileRule]:
    later: dict[str, Any] = {}
    if number >= 3:
        later |= {"maximum_version": _versions, "app_ids": st.lists(_texts, max_size=2).map(tuple)}
    if number >= 4:
        later |= {"internal_name": _texts, "description": _texts, "product": _texts}
    if number >= 5:
        later |= {"package_family": _texts, "package_version": _versions}
    if number >= 7:
        later |= {"path": _texts}
    kinds = st.sampled_from(FileRuleKind)
    return st.builds(FileRule, kinds, file_name=_texts, minimum_version=_versions, hash=st.binary(max_size=5), **later)


def _signers(number: int, ekus: int, rules: int, *, for_xml: bool) -> st.SearchStrategy[Signer]:
    most = 2_650_467_743_999_999_999 if for_xml else (1 << 64) - 1  # XML writes times up to the year 9999
    return st.one_of(
        st.builds(
            Signer,
            st.binary(max_size=9),
            ekus=_positions(ekus),
            issuer=_texts,
            publisher=_texts,
            oem_id=_texts,
            attributes=_positions(rules),
            sign_time_after=st.integers(0, most) if number >= 3 else st.just(0),
        ),
        st.builds(Signer, well_known=st.integers(0, 255 if for_xml else 0xFFFFFFFF)),
    )


def _groups(signers: int, rules: int) -> st.SearchStrategy[SignerGroup]:
    uses = st.builds(SignerUse, st.integers(0, max(signers - 1, 0)), _positions(rules))
    listed = st.lists(uses, max_size=2).map(tuple) if signers else st.just(())
    return st.builds(SignerGroup, listed, listed, _positions(rules))


def _scenarios(group: st.SearchStrategy[SignerGroup], *, for_xml: bool) -> st.SearchStrategy[Scenario]:
    values = st.integers(0, 255 if for_xml else 0xFFFFFFFF)
    least = st.integers(0, 0xFFFF if for_xml else 0xFFFFFFFF)
    inherited = st.sampled_from([(), (0,)])
    return st.builds(Scenario, values, inherited, least, group, group, group)


def _settings() -> st.SearchStrategy[SecureSetting]:
    values = st.one_of(st.booleans(), _words, st.binary(max_size=5), _texts)
    return st.builds(SecureSetting, _texts, _texts, _texts, values)


def seeds() -> Mapping[str, bytes]:
    """Policies for the fuzzer's corpus, by name."""
    found = {f"format-{number}": everything(number).serialise() for number in range(1, LAST + 1)}
    return found | {
        "minimal": build_ci_policy("Hosts", (10, 0, 0, 0)),
        "audit": build_ci_policy("Hosts", (10, 0, 1, 2), audit=True, policy_id="1"),
        "signed": wrapped(everything(7).serialise()),
        "signed-nested": wrapped(core.OctetString(everything(6).serialise()).dump()),
    }
