"""Code-integrity policies: bare or inside CMS, whole, as XML, and asked about drivers."""

import hashlib
from contextlib import suppress

from hgs.attestation.ci_policy import PolicyDocument, PolicyRules, parse_ci_policy, read_policy_xml, write_policy_xml
from hgs.attestation.errors import AttestationError
from hgs.attestation.modules import LoadedModule
from tests.fuzz.harness import run

_MODULES = (
    LoadedModule(),
    LoadedModule(
        "\\Windows\\System32\\drivers\\foo.sys", "0f" * 32, "sha256", publisher="Contoso", issuer="Contoso CA"
    ),
)


def check(data: bytes) -> None:
    """Only the package's own errors; a policy is part of its file, and what can be read whole has one encoding."""
    with suppress(AttestationError):
        policy = parse_ci_policy(data)
        assert policy.content in data
        assert policy.signed or policy.content == data
        assert policy.digest == hashlib.sha256(policy.content).hexdigest()
        assert policy.content.startswith(policy.header.serialise())
        assert isinstance(policy.warnings, tuple)
        if policy.document is not None:
            assert policy.document.serialise() == policy.content
            _use(policy.document)
    with suppress(AttestationError):
        document = read_policy_xml(data)
        _use(document)
        assert PolicyDocument.of(document.header, document.serialise()) == document


def _use(document: PolicyDocument) -> None:
    rules = PolicyRules(document)
    answers = [rules.refuses(module) for module in _MODULES]
    assert all(answer is None or answer for answer in answers)
    with suppress(AttestationError):
        # The XML form orders rules and settings as Windows' converter does: afterwards nothing moves any more, and the
        # policy says what it said before.
        ordered = read_policy_xml(write_policy_xml(document), document.format_version)
        assert read_policy_xml(write_policy_xml(ordered), document.format_version) == ordered
        assert [_refused(ordered, module) for module in _MODULES] == [answer is not None for answer in answers]


def _refused(document: PolicyDocument, module: LoadedModule) -> bool:
    return PolicyRules(document).refuses(module) is not None


if __name__ == "__main__":
    run("ci_policies")
