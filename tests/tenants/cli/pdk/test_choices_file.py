"""`pdk.toml`: what it says is what flags would say; a wrong key is named."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.shielding.pdk import Policy, open_pdk, parse_pdk
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.protector import unwrap
from portal.cli.failure import CliError
from tenants.cli.pdk.choices import KINDS, POLICIES, Choices, TrustedDisk
from tenants.cli.pdk.choices_file import parse_choices, write_choices
from tenants.cli.trust import RULES
from tests.hgs.keyprotection.guardians import lab
from tests.tenants.cli.conftest import Desk

WHOLE = """
owner = "owner.guardian"
passphrase-file = "passphrase"
guardians = ["lab"]
policy = "encryption-supported"
admin-password-file = "password"
escrow-recovery-key = false
out = "web.pdk"

[files]
"app.conf" = "password"

[[trusted-disks]]
catalog = "debian.vsc"
rule = "greater-than-or-equals"

[[trusted-disks]]
name = "Debian 13"
signer = "SIGNER"
version = "3.0.0.0"
rule = "greater-than"
""".replace("SIGNER", "ab" * 32)


def written(desk: Desk, text: str = WHOLE) -> str:
    (desk.folder / "pdk.toml").write_text(text)
    return desk.path("pdk.toml")


def test_a_file_says_everything_that_flags_can_say(desk: Desk) -> None:
    desk.import_lab()
    desk.done("pdk", "new", "--from", written(desk))
    pdk = parse_pdk((desk.folder / "web.pdk").read_bytes())
    assert pdk.policy is Policy.ENCRYPTION_SUPPORTED
    assert not pdk.escrows_recovery_key
    assert [(one.disk_name, one.rule) for one in pdk.qualifiers] == [
        ("Debian 12", VersionRule.GREATER_THAN_OR_EQUALS),
        ("Debian 13", VersionRule.GREATER_THAN),
    ]
    assert set(open_pdk(pdk, unwrap(pdk.protector, lab())).named_files) == {"app.conf"}


def test_flags_take_the_place_of_what_the_file_says(desk: Desk) -> None:
    desk.import_lab()
    flags = ("--policy", "shielded", "--catalog", desk.path("debian2.vsc"), "--escrow-recovery-key")
    desk.done("pdk", "new", "--from", written(desk), "-o", desk.path("other.pdk"), *flags)
    assert not (desk.folder / "web.pdk").exists()
    pdk = parse_pdk((desk.folder / "other.pdk").read_bytes())
    assert pdk.policy is Policy.SHIELDED
    assert pdk.escrows_recovery_key
    assert [one.version for one in pdk.qualifiers] == ["2.0.0.0"]


def test_every_choice_has_a_key_and_every_key_is_a_flag() -> None:
    from tenants.cli.pdk import pdk
    from tenants.cli.pdk.choices_file import _KEYS

    flags = {name for parameter in pdk.commands["new"].params for name in parameter.opts}
    singular = {
        "guardians": "guardian",
        "authorized-keys": "authorized-key",
        "files": "file",
        "trusted-disks": "catalog",
    }
    assert {f"--{singular.get(key, key)}" for key in _KEYS} <= flags


@pytest.mark.parametrize(
    ("text", "named", "advice"),
    [
        ("guardian = ['lab']", "guardian is not", "guardians"),
        ("polcy = 'shielded'", "polcy is not", "policy"),
        ("xyzzy = 1", "xyzzy is not", "Use only"),
        ("password = 'geheim'", "password: secrets", "admin-password-file"),
        ("[[trusted-disks]]\ncatalogue = 'x'", "trusted-disks[0].catalogue", "catalog"),
        ("policy = 'open'", "policy has to be", ""),
        ("type = 1", "type has to be", ""),
        ("guardians = 'lab'", "guardians has to be", ""),
        ("guardians = [1]", "guardians has to be", ""),
        ("owner = ''", "owner has to be", ""),
        ("escrow-recovery-key = 'yes'", "escrow-recovery-key has to be", ""),
        ("files = ['a']", "files has to be", ""),
        ("trusted-disks = ['a']", "trusted-disks has to be", ""),
        ("[[trusted-disks]]\nrule = 'equals'", "trusted-disks[0].name has to be", ""),
        ("[[trusted-disks]]\ncatalog = 'x'\nname = 'y'", "already says", ""),
        ("[[trusted-disks]]\nname='y'\nsigner='ab'\nversion='1.0.0.0'", "trusted-disks[0]: ", ""),
        ("[[trusted-disks]]\nname='y'\nsigner='xy'\nversion='1.0.0.0'", "signer has to be", ""),
        ("owner = ", "not TOML", ""),
        ("x = " + "[" * 5000, "", ""),
    ],
)
def test_what_is_wrong_is_named(text: str, named: str, advice: str) -> None:
    with pytest.raises(CliError) as refused:
        parse_choices(text, Path("folder"))
    assert named in refused.value.message
    assert advice in refused.value.advice
    assert "geheim" not in refused.value.message + refused.value.advice


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "hgs.xml").write_text("")
    found = parse_choices("owner = 'keys/me.guardian'\nguardians = ['hgs.xml', 'lab']\nout = '/tmp/x.pdk'", tmp_path)
    assert found.owner == tmp_path / "keys/me.guardian"
    assert found.guardians == (str(tmp_path / "hgs.xml"), "lab")
    assert found.out == Path("/tmp/x.pdk")  # noqa: S108 - only read


_NAMES = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."} and not name.startswith("~")
)
_PATHS = _NAMES.map(lambda name: Path("/folder") / name)
_DISKS = st.one_of(
    st.builds(TrustedDisk, _PATHS, st.sampled_from(list(RULES))),
    st.builds(
        lambda name, signer, rule: TrustedDisk(qualifier=VolumeIdQualifier(name, signer, "1.2.3.4", rule)),
        st.text(st.characters(categories=("L", "N")), min_size=1, max_size=9),
        st.binary(min_size=32, max_size=32),
        st.sampled_from(list(VersionRule)),
    ),
)


@given(
    st.builds(
        Choices,
        owner=_PATHS,
        guardians=st.lists(_NAMES, max_size=3).map(tuple),
        trusted_disks=st.lists(_DISKS, max_size=3).map(tuple),
        type=st.sampled_from([None, *KINDS]),
        policy=st.sampled_from([None, *POLICIES]),
        authorized_keys=st.lists(_PATHS, max_size=2).map(tuple),
        files=st.dictionaries(_NAMES, _PATHS, max_size=3).map(lambda files: tuple(files.items())),
        escrow_recovery_key=st.sampled_from([None, True, False]),
    )
)
def test_what_the_wizard_saves_reads_back(choices: Choices) -> None:
    assert parse_choices(write_choices(choices, Path("/folder")), Path("/folder")) == choices


@given(st.text(max_size=200))
def test_arbitrary_text_is_refused_with_a_sentence_or_read(text: str) -> None:
    with suppress(CliError):
        assert isinstance(parse_choices(text, Path("/folder")), Choices)
