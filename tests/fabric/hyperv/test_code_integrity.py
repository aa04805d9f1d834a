"""An emulated host loads only what its code-integrity policy allows, unless that is in audit mode."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.hyperv.code_integrity import PolicyInForce, load_drivers, policy_in_force
from fabric.hyperv.config import HostConfig
from fabric.hyperv.errors import ProfileError
from fabric.hyperv.firmware_events import module_digest
from fabric.hyperv.measured_boot import boot_host
from fabric.hyperv.profile import CodeIntegrityPolicy, HostProfile, find_profile, parse_profile
from fabric.hyperv.status import host_status
from hgs.attestation.baseline import boot_from_reference_log
from hgs.attestation.ci_policy import (
    FileRule,
    FileRuleKind,
    PolicyOption,
    PolicyRules,
    SignerGroup,
    parse_ci_policy,
    write_policy_xml,
)
from tests.fabric.hyperv.conftest import BootedHost
from tests.hgs.attestation.ci_policy.policies import document, drivers, everything, wrapped

HEALTHY = parse_profile(find_profile("healthy").read_bytes())
TAMPERED = parse_profile(find_profile("tampered").read_bytes())
PEEK = next(module for module in TAMPERED.modules if module.name == "peek.sys")
REFUSED = (
    "The driver peek.sys (publisher Peek Software) is not allowed by CI policy Emulated guarded host: "
    "no rule allows it."
)


def with_peek(**changes: object) -> HostProfile:
    peek = replace(PEEK, **changes)  # type: ignore[arg-type]
    return replace(HEALTHY, modules=(*HEALTHY.modules, peek))


def in_force(profile: HostProfile) -> PolicyInForce:
    return policy_in_force(profile.code_integrity_policy)


def names(profile: HostProfile) -> list[str]:
    return [module.name for module in profile.modules]


def test_the_policy_of_a_profile_is_a_real_one_that_allows_its_drivers() -> None:
    policy = parse_ci_policy(in_force(HEALTHY).content)
    assert policy.unreadable == ""
    assert policy.name == "Emulated guarded host"
    assert policy.warnings == ()
    assert load_drivers(HEALTHY, in_force(HEALTHY)).profile == HEALTHY


def test_a_driver_that_the_policy_does_not_allow_is_not_loaded() -> None:
    found = load_drivers(with_peek(), in_force(HEALTHY))
    assert names(found.profile) == names(HEALTHY)
    assert found.refused == (REFUSED,)
    assert found.audited == ()


def test_in_audit_mode_it_is_loaded_and_told() -> None:
    found = load_drivers(TAMPERED, in_force(TAMPERED))
    assert found.profile == TAMPERED
    assert found.refused == ()
    assert "peek.sys (publisher Peek Software) is not allowed by CI policy Nobody approved this" in found.audited[0]


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({"publisher": "Emulated Boot Authority", "issuer": "Emulated Boot Authority"}, True),
        ({"publisher": "Emulated Boot Authority"}, False),
        ({"publisher": ""}, False),
        ({"hash": "ab" * 32}, True),
        ({"driver": False}, True),
    ],
)
def test_what_the_policy_asks_for_decides(changes: dict[str, object], allowed: bool) -> None:
    """A publisher is known by the authority above it, a file by its hash; programs are not the kernel's business."""
    policy = replace(HEALTHY.code_integrity_policy, hashes=("ab" * 32,))
    found = load_drivers(with_peek(**changes), policy_in_force(policy))
    assert ("peek.sys" in names(found.profile)) is allowed


def test_without_code_integrity_nothing_is_refused() -> None:
    off = replace(with_peek(), boot=replace(HEALTHY.boot, code_integrity=False))
    assert load_drivers(off, in_force(HEALTHY)).profile == off


def from_file(folder: Path, data: bytes) -> PolicyInForce:
    path = folder / "policy"
    path.write_bytes(data)
    return policy_in_force(CodeIntegrityPolicy("SiPolicy.p7b", str(path)))


@pytest.mark.parametrize("form", [lambda p: p.serialise(), lambda p: wrapped(p.serialise()), write_policy_xml])
def test_a_policy_may_come_from_a_file_in_any_form(tmp_path: Path, form: Callable[..., bytes]) -> None:
    rules = (FileRule(FileRuleKind.DENY, "storport.sys", (65535,) * 4), FileRule(FileRuleKind.ALLOW, "*"))
    policy = document(drivers(SignerGroup(rules=(0, 1)), file_rules=rules))
    found = from_file(tmp_path, form(policy))
    assert found.content == policy.serialise()
    assert found.info.version == (10, 0, 0, 0)
    loaded = load_drivers(HEALTHY, found)
    assert "storport.sys" not in names(loaded.profile)
    assert "tpm.sys" in names(loaded.profile)
    assert "it is denied by its rule: deny files named storport.sys" in loaded.refused[0]


def test_a_driver_that_the_policy_cannot_tell_about_is_refused(tmp_path: Path) -> None:
    rules = (FileRule(FileRuleKind.ALLOW, hash=b"\x01" * 20),)
    found = from_file(tmp_path, document(drivers(SignerGroup(rules=(0,)), file_rules=rules)).serialise())
    assert "tpm.sys" not in names(load_drivers(HEALTHY, found).profile)


@pytest.mark.parametrize("data", [b"junk", b"<x/>", everything(7).serialise() + b"x"])
def test_a_policy_file_that_cannot_be_used_is_named(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ProfileError, match="policy"):
        from_file(tmp_path, data)
    with pytest.raises(ProfileError, match="No such file"):
        policy_in_force(CodeIntegrityPolicy("SiPolicy.p7b", str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("audit = false", 'audit = false\npolicy_file = "/p"', "unknown key: code_integrity_policy.audit"),
        ("audit = false", "audit = false\nhashes = ['x']", "code_integrity_policy.hashes.1 must be a SHA-256"),
        ("driver = true", "driver = true\nhash = 'x'", "modules[6].hash must be a SHA-256"),
        ("driver = true", "driver = true\nissuer = ''", "modules[6].issuer must be one line"),
    ],
)
def test_mistakes_in_a_profile_are_named(old: str, new: str, sentence: str) -> None:
    text = find_profile("healthy").read_text()
    with pytest.raises(ProfileError) as caught:
        parse_profile(text.replace(old, new, 1).encode())
    assert sentence in str(caught.value)


def test_a_profile_may_say_what_its_policy_allows_and_who_signed_a_module() -> None:
    text = find_profile("healthy").read_text()
    text = text.replace("audit = false", f"audit = false\npublishers = ['A']\nhashes = ['{'ab' * 32}']", 1)
    text = text.replace("driver = true", f"driver = true\npublisher = ''\nhash = '{'cd' * 32}'", 1)
    profile = parse_profile(text.encode())
    assert (profile.code_integrity_policy.publishers, profile.code_integrity_policy.hashes) == (("A",), ("ab" * 32,))
    tpm = next(module for module in profile.modules if module.name == "tpm.sys")
    assert (tpm.publisher, module_digest(tpm).hex()) == ("", "cd" * 32)
    text = "\n".join(
        line for line in text.splitlines() if line.split(" ")[0] not in ("title", "policy_id", "publishers", "hashes")
    ).replace('version = "10.0.0.0"\naudit = false', 'policy_file = "/etc/policy.p7b"', 1)
    assert parse_profile(text.encode()).code_integrity_policy == CodeIntegrityPolicy("SiPolicy.p7b", "/etc/policy.p7b")


def test_one_profile_always_makes_the_same_policy() -> None:
    assert in_force(HEALTHY).content == in_force(HEALTHY).content
    audited = replace(HEALTHY.code_integrity_policy, audit=True)
    document_of = policy_in_force(audited).document
    assert document_of.options == in_force(HEALTHY).document.options | PolicyOption.AUDIT_MODE


@pytest.mark.tpm
def test_a_refused_driver_is_not_measured_and_shown_with_the_reason(booted: BootedHost) -> None:
    config = booted()
    text = config.state.profile.read_text()
    peek = "[[modules]]\npath = '\\Windows\\system32\\drivers\\peek.sys'\nversion = \"1.0.0.0\"\ndriver = true\n"
    config.state.profile.write_text(f'{text}\n{peek}publisher = "Peek Software"\nissuer = "Peek CA"\n')
    before = _logged(config)
    boot_host(config)
    assert _logged(config) == before
    assert host_status(config)["refused_drivers"] == [REFUSED]
    assert json.loads(config.state.boot.read_text())["audited_drivers"] == []


@pytest.mark.tpm
def test_an_audited_driver_is_measured_and_a_registered_policy_tells_that_it_refuses_it(booted: BootedHost) -> None:
    config = booted("hv03", "tampered")
    assert "peek.sys" in _logged(config)
    assert "peek.sys" in host_status(config)["audited_drivers"][0]
    approved = PolicyRules(in_force(HEALTHY).document)
    modules = boot_from_reference_log(config.state.boot_log.read_bytes()).modules
    told = {module.name: approved.refuses(module) for module in modules}
    assert told.pop("peek.sys") == "no rule allows it"
    assert set(told.values()) == {None}


def _logged(config: HostConfig) -> list[str]:
    return [module.name for module in boot_from_reference_log(config.state.boot_log.read_bytes()).modules]
