"""Names that people give to what HGS trusts."""

import re
from typing import Final

from portal.kernel.errors import Invalid

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ARTEFACT_NAME: Final = re.compile(r"(?=[^\n]{1,64}\Z)[A-Za-z0-9](?:[A-Za-z0-9 ._()+-]*[A-Za-z0-9._()+-])?")


def check_name(name: str, *, of_host: bool = False) -> None:
    """Raises Invalid unless ``name`` can name a host, or anything else that HGS trusts."""
    if of_host and not _HOST_NAME.fullmatch(name):
        raise Invalid(
            "submission-name",
            "A host's name has 1 to 64 letters, digits, dots, hyphens and underscores, and starts with a letter or "
            "digit.",
            fields={"name": name[:64]},
        )
    if not of_host and not _ARTEFACT_NAME.fullmatch(name):
        raise Invalid(
            "submission-name",
            "A name has 1 to 64 letters, digits, spaces and . _ ( ) + -; it starts with a letter or digit and does not "
            "end with a space.",
            fields={"name": name[:64]},
        )
