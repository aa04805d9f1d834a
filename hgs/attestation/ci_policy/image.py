"""What is known of an image (a driver or a program) when a policy is asked about it.

Wherever ``None`` is allowed it means *not known*, which is not the same as *not there*: a boot log names a driver's
publisher, but not the certificates above it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hgs.attestation.ci_policy.header import Version


@dataclass(frozen=True)
class SignatureFacts:
    """One signature. ``publisher`` and ``issuer`` are common names of the signer's certificate and of its issuer.

    ``tbs`` are hashes of the signed parts of all certificates that are known, ``complete`` says that none is missing
    up to the root. ``roots`` are numbers of well-known roots that the chain is known to end in.
    """

    publisher: str | None = None
    issuer: str | None = None
    ekus: frozenset[str] | None = None
    tbs: frozenset[bytes] = frozenset()
    complete: bool = False
    roots: frozenset[int] | None = None
    oem_id: str | None = None


@dataclass(frozen=True)
class ImageFacts:
    """One image. ``hashes``: Authenticode hashes by algorithm (``sha256``); names as its version resource gives them.

    ``signatures`` is empty for an image that is known to be unsigned.
    """

    name: str
    hashes: Mapping[str, bytes] = field(default_factory=dict)
    original_name: str | None = None
    internal_name: str | None = None
    description: str | None = None
    product: str | None = None
    version: Version | None = None
    signatures: tuple[SignatureFacts, ...] | None = None

    @property
    def title(self) -> str:
        """``foo.sys (publisher Foo Inc.)``."""
        names = [item.publisher for item in self.signatures or () if item.publisher]
        if names:
            return f"{self.name} (publisher {names[0]})"
        return f"{self.name} (unsigned)" if self.signatures == () else self.name
