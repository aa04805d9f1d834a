"""The XML form says what the binary says, and nothing unknown in it is passed over."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hgs.attestation.ci_policy import (
    CiPolicyBody,
    FileRule,
    FileRuleKind,
    PolicyDocument,
    Signer,
    parse_ci_policy,
    read_policy_xml,
    write_policy_xml,
)
from hgs.attestation.ci_policy.model import App, rule_order
from hgs.attestation.ci_policy.xml_form import MAX_XML
from hgs.attestation.errors import AttestationError, Malformed, TooLarge, Unsupported
from tests.hgs.attestation.ci_policy.policies import EKU, TBS, document, documents, drivers, everything

XML = """<?xml version="1.0" encoding="utf-8"?>
<!-- made by hand -->
<SiPolicy xmlns="urn:schemas-microsoft-com:sipolicy" PolicyType="Base Policy" FriendlyName="By hand">
  <VersionEx>10.0.0.3</VersionEx>
  <PlatformID>{2E07F7E4-194C-4D20-B7C9-6F44A6C5A234}</PlatformID>
  <PolicyID>{11111111-2222-3333-4444-555555555555}</PolicyID>
  <BasePolicyID>{11111111-2222-3333-4444-555555555555}</BasePolicyID>
  <Rules>
    <Rule><Option>Enabled:UMCI</Option></Rule>
    <Rule><Option>Enabled:Audit Mode</Option></Rule>
    <Rule><Option>Disabled:Default Windows Certificate Remapping</Option></Rule>
  </Rules>
  <EKUs><EKU ID="ID_EKU_WHQL" OID="1.3.6.1.4.1.311.10.3.6" /></EKUs>
  <FileRules>
    <Allow ID="ID_ALLOW_A_2" FriendlyName="foo.sys" Hash="F0F0" />
    <Deny ID="ID_DENY_A_1" FileName="old.sys" MinimumFileVersion="1.2.3.4" />
    <Deny ID="ID_DENY_A_2" FileName="any.sys" />
    <FileAttrib ID="ID_FILEATTRIB_A_1" FileName="Foo.sys" MinimumFileVersion="2.0" AppIDs="$(one)$(two)" />
    <FileRule ID="ID_FILE_A_1" Type="Exclude" FileName="between.sys" MaximumFileVersion="2.0.0.0" />
  </FileRules>
  <Signers>
    <Signer ID="ID_SIGNER_S_1" Name="Foo CA" SignTimeAfter="2026-01-01T01:00:00.5+01:00">
      <CertRoot Type="TBS" Value="AB12" />
      <CertEKU ID="ID_EKU_WHQL" />
      <CertPublisher Value="Foo Inc." />
      <FileAttribRef RuleID="ID_FILEATTRIB_A_1" />
    </Signer>
    <Signer ID="ID_SIGNER_S_2"><CertRoot Type="Wellknown" Value="06" /></Signer>
  </Signers>
  <SigningScenarios>
    <SigningScenario Value="131" ID="ID_SIGNINGSCENARIO_DRIVERS_1" FriendlyName="Drivers">
      <ProductSigners>
        <AllowedSigners><AllowedSigner SignerId="ID_SIGNER_S_1">
          <ExceptDenyRule DenyRuleID="ID_DENY_A_1" />
        </AllowedSigner></AllowedSigners>
        <FileRulesRef><FileRuleRef RuleID="ID_ALLOW_A_2" /><FileRuleRef RuleID="ID_DENY_A_2" /></FileRulesRef>
      </ProductSigners>
    </SigningScenario>
  </SigningScenarios>
  <UpdatePolicySigners><UpdatePolicySigner SignerId="ID_SIGNER_S_2" /></UpdatePolicySigners>
  <HvciOptions>1</HvciOptions>
  <Settings>
    <Setting Provider="PolicyInfo" Key="Information" ValueName="Name"><Value><String>By hand</String></Value></Setting>
  </Settings>
  <Macros><Macro Id="one" Value="S-1" /><Macro Id="two" Value="S-2" /></Macros>
</SiPolicy>
"""


def test_an_xml_policy_is_read_with_its_names() -> None:
    policy = read_policy_xml(XML.encode())
    body = policy.body
    assert (policy.label, policy.name, policy.audit, policy.version) == ("By hand", "By hand", True, (10, 0, 0, 3))
    assert [rule.file_name or rule.hash.hex() for rule in body.file_rules] == [
        "any.sys", "between.sys", "old.sys", "f0f0", "Foo.sys",
    ]  # fmt: skip
    assert body.file_rules[0].minimum_version == (65535,) * 4
    assert body.file_rules[1].minimum_version == (0, 0, 0, 0)
    assert body.file_rules[4].app_ids == ("S-1", "S-2")
    assert body.file_rules[4].minimum_version == (2, 0, 0, 0)
    assert body.ekus == (EKU,)
    assert body.signers[0] == Signer(
        b"\xab\x12", ekus=(0,), publisher="Foo Inc.", attributes=(4,), sign_time_after=134116992005000000
    )
    assert body.signers[0].label == "Foo CA"
    assert body.signers[1].well_known == 6
    group = body.scenarios[0].product
    assert (group.allowed[0].signer, group.allowed[0].exceptions, group.rules) == (0, (2,), (0, 3))
    assert body.setting("Microsoft", "PolicySettings", "DisabledDefaultWindowsCertificateRemappingValueName") is True


def test_the_binary_of_an_xml_policy_says_the_same() -> None:
    policy = read_policy_xml(XML.encode())
    assert parse_ci_policy(policy.serialise()).document == policy
    assert read_policy_xml(write_policy_xml(policy)) == policy


@pytest.mark.parametrize("number", range(1, 8))
def test_everything_in_a_binary_survives_the_way_through_xml(number: int) -> None:
    policy = everything(number)
    again = read_policy_xml(write_policy_xml(policy), number)
    # Without an id of its own, a policy gets its type from the XML.
    assert again.body == policy.body
    assert again == replace(policy, policy_type=again.policy_type)


def ordered(policy: PolicyDocument) -> bool:
    """Whether rules, their references and the settings are in the order in which converters write them."""
    keys = [rule_order(rule) for rule in policy.body.file_rules]
    groups = [group for item in policy.body.scenarios for group in (item.product, item.test, item.test_signing)]
    names = [(item.provider.upper(), item.key.upper(), item.name.upper()) for item in policy.body.settings]
    return (
        keys == sorted(keys)
        and all(group.rules == tuple(sorted(group.rules)) for group in groups)
        and names == sorted(names)
        and all(all(name) for name in names)
    )


@given(documents(for_xml=True))
def test_any_binary_in_order_survives_the_way_through_xml(policy: PolicyDocument) -> None:
    written = write_policy_xml(policy)
    if ordered(policy):
        again = read_policy_xml(written, policy.format_version)
        assert again.serialise() == replace(policy, policy_type=again.policy_type).serialise()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_with_a_byte_order_mark_are_read(encoding: str) -> None:
    assert read_policy_xml(XML.encode(encoding)) == read_policy_xml(XML.encode())


def test_the_order_of_rules_makes_no_difference() -> None:
    lines = XML.splitlines()
    start = next(number for number, line in enumerate(lines) if "<FileRules>" in line) + 1
    moved = [*lines[:start], *reversed(lines[start : start + 5]), *lines[start + 5 :]]
    assert read_policy_xml("\n".join(moved).encode()).serialise() == read_policy_xml(XML.encode()).serialise()


@pytest.mark.parametrize(
    ("old", "new", "error", "sentence"),
    [
        ("<!-- made by hand -->", "<!DOCTYPE SiPolicy>", Malformed, "document type"),
        ("<!-- made by hand -->", '<!DOCTYPE a [<!ENTITY b "c">]>', Malformed, "document type"),
        ("<!-- made by hand -->", "<?php x ?>", Malformed, "an instruction"),
        ("By hand</String>", "<![CDATA[x]]></String>", Malformed, "CDATA"),
        ("By hand</String>", "&b;</String>", Malformed, "not well-formed"),
        ("urn:schemas-microsoft-com:sipolicy", "urn:other", Malformed, "root is not SiPolicy"),
        ("<HvciOptions>1<", "<HvciOptions>4294967296<", Malformed, "HvciOptions"),
        ("<HvciOptions>", "<HvciOptions a='b'>", Unsupported, "HvciOptions has an attribute"),
        ("<EKU ID", "<EKX ID", Unsupported, "EKX"),
        ("<FileRuleRef RuleID", "<FileRuleReg RuleID", Unsupported, "FileRuleReg"),
        ("<CertPublisher", "<CertPublished", Unsupported, "CertPublished"),
        ("Enabled:UMCI", "Enabled:Everything", Unsupported, "'Enabled:Everything'"),
        ("Base Policy", "AppID Tagging Policy", Unsupported, "AppID Tagging"),
        ('Hash="F0F0"', 'Hash="F0F"', Malformed, "not hexadecimal"),
        ('Hash="F0F0"', 'Hash="F0F0" Fancy="1"', Unsupported, "Fancy"),
        ("<EKUs>", "<Extra/><EKUs>", Unsupported, "Extra"),
        ('DenyRuleID="ID_DENY_A_1"', 'DenyRuleID="ID_DENY_A_9"', Malformed, "'ID_DENY_A_9'"),
        ('ID="ID_DENY_A_1"', 'ID="ID_DENY_A_2"', Malformed, "two of the id"),
        ('ID="ID_DENY_A_1"', 'ID="x"', Malformed, "no id"),
        ("$(one)", "$(three)", Malformed, "three"),
        ("10.0.0.3", "10.0.0.70000", Malformed, "no version"),
        ("{2E07F7E4", "{ZE07F7E4", Malformed, "no GUID"),
        ("2026-01-01T01", "2026-13-01T01", Malformed, "no time"),
        ('Value="06"', 'Value="0600"', Malformed, "neither a TBS hash"),
        ("<VersionEx>10.0.0.3</VersionEx>", "", Malformed, "lacks VersionEx"),
        ("1.3.6.1.4.1.311.10.3.6", "1.3.x", Malformed, "no object identifier"),
        ("<String>By hand</String>", "<Boolean>maybe</Boolean>", Malformed, "neither true nor false"),
        ("<String>By hand</String>", "", Malformed, "exactly one value"),
    ],
)
def test_what_is_wrong_is_named(old: str, new: str, error: type[AttestationError], sentence: str) -> None:
    assert old in XML
    changed = XML.replace(old, new, 1).encode()
    with pytest.raises(error) as caught:
        read_policy_xml(changed)
    assert sentence in caught.value.message


def test_too_large_a_file_is_refused_unread() -> None:
    with pytest.raises(TooLarge):
        read_policy_xml(b" " * (MAX_XML + 1))


@given(st.binary(max_size=300), st.integers(0, len(XML) - 1))
def test_any_bytes_are_a_policy_or_a_sentence(data: bytes, at: int) -> None:
    for candidate in (data, XML[:at].encode() + data + XML[at:].encode()):
        with suppress(AttestationError):
            policy = read_policy_xml(candidate)
            assert parse_ci_policy(policy.serialise()).document == policy


def test_what_the_xml_form_lacks_is_refused_with_a_reason() -> None:
    with pytest.raises(Unsupported, match="manifests"):
        write_policy_xml(document(CiPolicyBody(apps=(App("x"),)), format_version=8))
    with pytest.raises(Unsupported, match="0x00000001"):
        write_policy_xml(replace(document(CiPolicyBody()), options=1 << 31 | 1))
    with pytest.raises(Unsupported, match="characters"):
        write_policy_xml(document(drivers(everything(1).body.scenarios[0].product, **_rules("a\x01"))))


def _rules(name: str) -> dict[str, object]:
    body = everything(1).body
    return {
        "ekus": body.ekus,
        "signers": body.signers,
        "file_rules": (FileRule(FileRuleKind.DENY, name), *body.file_rules[1:]),
    }


def test_ids_of_the_xml_are_kept_and_others_made_up_beside_them() -> None:
    rules = (
        FileRule(FileRuleKind.ALLOW, hash=b"\x01", id="ID_ALLOW_A_0002"),
        FileRule(FileRuleKind.ALLOW, hash=b"\x02"),
        FileRule(FileRuleKind.ALLOW, hash=b"\x03", id="ID_ALLOW_A_0002"),
    )
    again = read_policy_xml(write_policy_xml(document(CiPolicyBody(file_rules=rules, signers=(Signer(TBS),)))))
    assert again.body.file_rules == rules
    assert again.body.file_rules[0].id == "ID_ALLOW_A_0002"
    assert len({rule.id for rule in again.body.file_rules}) == 3
