"""Shielding data files of every version, their content, and specialization keys."""

from contextlib import suppress

from fabric.shielding.content import parse_content, serialise_content
from fabric.shielding.errors import ShieldingError
from fabric.shielding.pdk import parse_pdk
from fabric.shielding.pdk_form import parse_document, serialise_document
from fabric.shielding.specialization import parse_specialization_keys, serialise_specialization_keys
from hgs.keyprotection.secret import Secret
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own errors; what parses has one form, and what is verified says what it says by the owner."""
    with suppress(ShieldingError):
        assert serialise_document(parse_document(data)) == data
        pdk = parse_pdk(data)
        assert pdk.serialise() == data
        assert (pdk.substitution_strings is None) == (pdk.version == 1)
    with suppress(ShieldingError):
        assert serialise_content(parse_content(Secret(data))) == Secret(data)
    with suppress(ShieldingError):
        assert serialise_specialization_keys(parse_specialization_keys(data)) == data


if __name__ == "__main__":
    run("shielding_data")
