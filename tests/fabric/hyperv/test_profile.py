"""Host profiles are read strictly, and every mistake is named."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.hyperv.code_integrity import policy_in_force
from fabric.hyperv.errors import ProfileError
from fabric.hyperv.profile import MAX_PROFILE_BYTES, find_profile, parse_profile

HEALTHY = find_profile("healthy").read_text()


def test_built_in_profiles_say_what_their_names_promise() -> None:
    healthy = parse_profile(find_profile("healthy").read_bytes())
    tampered = parse_profile(find_profile("tampered").read_bytes())
    assert healthy.secure_boot.enabled
    assert not tampered.secure_boot.enabled
    policies = [policy_in_force(profile.code_integrity_policy) for profile in (healthy, tampered)]
    assert policies[0].info.digest != policies[1].info.digest


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("iommu = true\n", ""), "lacks hypervisor.iommu"),
        (("iommu = true", 'iommu = "yes"'), "hypervisor.iommu must be true or false"),
        (("iommu = true", "iommu = 1"), "hypervisor.iommu must be true or false"),
        (("iommu = true", "iommu = true\niommo = true"), "unknown key: hypervisor.iommo"),
        (("startup_locality = 3", "startup_locality = 2"), "firmware.startup_locality must be one of 0, 3"),
        (('version = "10.0.0.0"', 'version = "10.0"'), "code_integrity_policy.version must be four numbers"),
        (('version = "10.0.0.0"', 'version = "10.0.0.70000"'), "numbers up to 65535"),
        (('dump_key_digest = ""', 'dump_key_digest = "xyz"'), "memory.dump_key_digest must be a SHA-256"),
        (("dump_encryption = false", "dump_encryption = true"), "needs memory.dump_key_digest"),
        (("launched = true", "launched = false"), "needs hypervisor.launched"),
        (('"80b4d969', '"80B4d969'), "secure_boot.revoked.1 must be a SHA-256"),
        (("driver = true", "driver = 'no'"), "modules[6].driver must be true or false"),
        (('title = "Emulated guarded host"', 'title = ""'), "code_integrity_policy.title must be one line"),
        (("[boot]", "[boot"), "not a TOML file"),
    ],
)
def test_mistake_is_named_with_its_place(change: tuple[str, str], sentence: str) -> None:
    assert change[0] in HEALTHY
    with pytest.raises(ProfileError, match=re.escape(sentence)):
        parse_profile(HEALTHY.replace(change[0], change[1], 1).encode())


def test_profile_without_modules_is_refused() -> None:
    head = HEALTHY.partition("[[modules]]")[0]
    with pytest.raises(ProfileError, match="modules must name"):
        parse_profile(("modules = []\n" + head).encode())


def test_profile_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(ProfileError, match="is the limit"):
        parse_profile(b"#" * (MAX_PROFILE_BYTES + 1))


@given(st.binary(max_size=400))
def test_any_bytes_are_a_profile_or_a_sentence(data: bytes) -> None:
    with pytest.raises(ProfileError, match=r"\.$"):
        parse_profile(data)


@given(st.data())
def test_profile_with_a_line_left_out_never_breaks_the_reader(data: st.DataObject) -> None:
    lines = HEALTHY.splitlines()
    del lines[data.draw(st.integers(0, len(lines) - 1))]
    with suppress(ProfileError):
        parse_profile("\n".join(lines).encode())


def test_unknown_profile_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="healthy, tampered"):
        find_profile("nowhere")
    own = tmp_path / "own.toml"
    own.write_text(HEALTHY)
    assert find_profile(str(own)) == own
