"""A registered policy asked about what a host's boot log says it loaded."""

from hgs.attestation.ci_policy.document import PolicyDocument
from hgs.attestation.ci_policy.evaluation import Refused, evaluate
from hgs.attestation.ci_policy.image import ImageFacts, SignatureFacts
from hgs.attestation.modules import LoadedModule

_REMEMBERED = 4096


class PolicyRules:
    """The rules of one policy. Remembers its answers: hosts load the same drivers.

    A host that enforces this very policy has loaded nothing else, whatever the log seems to say. The rules explain what
    an audit mode let pass, and what a policy that nobody approved let in.
    """

    def __init__(self, document: PolicyDocument) -> None:
        self._document = document
        self._answers: dict[LoadedModule, str | None] = {}

    def refuses(self, module: LoadedModule) -> str | None:
        """Why the policy does not allow a loaded module, in a clause; None if it does, or if that cannot be told.

        A log names a driver's hash, its publisher and issuer, and nothing above: where a rule about more than that may
        allow the driver, it is not complained of.
        """
        if module not in self._answers:
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[module] = self._ask(module)
        return self._answers[module]

    def _ask(self, module: LoadedModule) -> str | None:
        image = facts_from_log(module)
        answer = evaluate(self._document.body, image, options=self._document.options)
        return answer.reason if isinstance(answer, Refused) else None


def facts_from_log(module: LoadedModule) -> ImageFacts:
    """What a boot log says of a module, as a policy is asked about it."""
    hashes = {}
    if module.authenticode_hash:
        hashes[module.hash_algorithm or "sha256"] = bytes.fromhex(module.authenticode_hash)
    signatures = None
    if module.publisher or module.issuer:
        signatures = (SignatureFacts(module.publisher or None, module.issuer or None),)
    return ImageFacts(module.name, hashes, module.original_name or None, signatures=signatures)
