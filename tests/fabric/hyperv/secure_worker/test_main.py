"""What leaves the secure worker when something fails: never a word of what the owner encrypted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fabric.hyperv.secure_worker.__main__ import _describe
from fabric.hyperv.secure_worker.client import SecureWorkerFailed
from fabric.hyperv.spec import VmSpec
from fabric.shielding.answerfile import substitute
from fabric.shielding.content import ShieldingSecrets
from fabric.shielding.errors import AnswerFileError, ShieldingContentError
from fabric.shielding.pdk import Policy, write_pdk
from fabric.shielding.viq import VersionRule, VolumeIdQualifier
from hgs.keyprotection.secret import Secret
from tests.fabric.hyperv.secure_worker.conftest import quiet


class ForeignSecrets(ShieldingSecrets):
    """Content that our own tools refuse to make, as somebody else's may; the file declares nothing of it."""

    __slots__ = ()

    @property
    def substitution_strings(self) -> tuple[str, ...]:
        return ()


def content_of_others(answer_file: str, files: dict[str, Secret] | None = None) -> ShieldingSecrets:
    """Content of that kind."""
    secrets = ForeignSecrets(Secret(b'GF_COMPUTER_NAME="web"\n'))
    object.__setattr__(secrets, "answer_file", Secret(answer_file.encode()))
    object.__setattr__(secrets, "other_files", files or {})
    return secrets


@pytest.mark.tpm
@pytest.mark.parametrize(
    ("secrets", "code"),
    [
        (content_of_others("<a><Password>P@ssw0rd@1</Password></a>"), "unknown-placeholder"),
        (content_of_others("<a><ssw0rd></a>"), "not-well-formed"),
        (content_of_others('ssw0rd="x"\n'), "answer-file-line"),
        (content_of_others('SSW0RD="x"\n'), "answer-file-key"),
        (content_of_others('GF_DNS="10.0.0.1"\n', {"ssw0rd/": Secret(b"")}), "file-name"),
    ],
)
def test_no_word_of_the_encrypted_content_leaves(
    host: Any, tenant: Any, small_template: Any, spec: VmSpec, tmp_path: Path, secrets: ShieldingSecrets, code: str
) -> None:
    catalog = small_template.signed
    qualifier = VolumeIdQualifier("Guarded Linux", catalog.signer_fingerprint, "1.0.0.0", VersionRule.EQUALS)
    guardians = [tenant.guardian.guardian]
    pdk = tmp_path / "web.pdk"
    pdk.write_bytes(write_pdk(tenant.owner, guardians, Policy.SHIELDED, [qualifier], secrets, os.urandom))
    machines = host.machines(tmp_path / "vms", "dry")
    with pytest.raises(SecureWorkerFailed) as caught:
        machines.provision(spec, host.certificate, small_template.raw, small_template.catalog, pdk, quiet)
    assert caught.value.code == code
    assert "ssw0rd" not in f"{caught.value.message} {caught.value.advice}".lower()


def test_what_the_fabric_got_wrong_is_told_in_full() -> None:
    with pytest.raises(AnswerFileError) as missing:
        substitute('GF_DNS="@DnsAddr-1-1@"\n', {})
    assert "@DnsAddr-1-1@" in _describe(missing.value)["message"]
    with pytest.raises(AnswerFileError) as bad:
        substitute('GF_DNS="@DnsAddr-1-1@"\n', {"@DnsAddr-1-1@": "here"})
    assert "@DnsAddr-1-1@" in _describe(bad.value)["message"]


def test_an_error_about_the_content_keeps_its_code_alone() -> None:
    told = _describe(ShieldingContentError("file-name", "'salaries 2027' cannot be a name.", "Rename salaries."))
    assert told["expected"] is True
    assert told["code"] == "file-name"
    assert "salaries" not in f"{told['message']} {told['advice']}"


def test_of_an_unexpected_error_only_its_place_is_told() -> None:
    with pytest.raises(KeyError) as caught:
        int.__dict__["secret"]
    told = _describe(caught.value)
    assert told["code"] == "secure-worker-failed"
    assert "KeyError in test_main.py" in told["message"]
    assert "secret" not in told["message"].replace("secure", "")
