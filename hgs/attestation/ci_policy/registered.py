"""A registered policy asked about what a host's boot log says it loaded."""

from typing import Final

from hgs.attestation.ci_policy.document import PolicyDocument
from hgs.attestation.ci_policy.evaluation import Evaluator, Refused
from hgs.attestation.ci_policy.image import ImageFacts, SignatureFacts
from hgs.attestation.modules import LoadedModule

_REMEMBERED: Final = 4096
_MOST_REMEMBERED: Final = 2048
"""Characters in a module that is remembered: honest ones have some hundreds."""


class _Unknown:
    """Stands for an answer that is not remembered: None is one that is."""


_UNKNOWN: Final = _Unknown()


class PolicyRules:
    """The rules of one policy. Remembers its answers, because hosts load the same drivers.

    A log names a driver's hash and the publisher and issuer of the signature that the loader took, and nothing above
    them. Where a rule about more than that may allow the driver, there is no complaint.
    """

    def __init__(self, document: PolicyDocument) -> None:
        self._evaluator = Evaluator(document.body, options=document.options)
        self._answers: dict[LoadedModule, str | None] = {}

    def refuses(self, module: LoadedModule) -> str | None:
        """Why the policy does not allow a loaded module, as a clause; None if it does, or if that cannot be told."""
        answer = self._answers.get(module, _UNKNOWN)  # one step: other threads clear it
        if isinstance(answer, _Unknown):
            answer = self._ask(module)
            if _size(module) <= _MOST_REMEMBERED:
                if len(self._answers) >= _REMEMBERED:
                    self._answers.clear()
                self._answers[module] = answer
        return answer

    def _ask(self, module: LoadedModule) -> str | None:
        answer = self._evaluator.ask(facts_from_log(module))
        return answer.reason if isinstance(answer, Refused) else None


def _size(module: LoadedModule) -> int:
    texts = (module.path, module.issuer, module.publisher, module.original_name)
    return sum(map(len, texts)) + len(module.authenticode_hash) + len(module.serial) + len(module.thumbprint)


def facts_from_log(module: LoadedModule) -> ImageFacts:
    """What a boot log says of a module, as a policy is asked about it."""
    hashes = {}
    if module.authenticode_hash:
        hashes[module.hash_algorithm or "unknown"] = bytes.fromhex(module.authenticode_hash)
    signatures = None
    if module.publisher or module.issuer:
        signatures = (SignatureFacts(module.publisher or None, module.issuer or None),)
    return ImageFacts(module.name, hashes, module.original_name or None, signatures=signatures)
