"""Rollover bundles, as the portal reads results and an owner reads work files."""

from contextlib import suppress
from io import BytesIO

from tenants.rollover.bundle import BundleKind, read_bundle, write_bundle
from tenants.rollover.errors import BundleError
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Nothing but a refusal in words, and what is read can be written and read again."""
    for kind in BundleKind:
        with suppress(BundleError):
            bundle = read_bundle(BytesIO(data), kind)
            again = BytesIO()
            write_bundle(again, bundle)
            assert read_bundle(again, kind) == bundle


if __name__ == "__main__":
    run("rollover_bundles")
