"""An HGS with guardian keys of a chosen size: ``python -m bench.keys.initialised ROOT BITS`` in HGS's role."""

import sys
from pathlib import Path

import django


def main(root: Path, bits: int) -> None:
    """What ``gf hgs init --trust-tpm --key-size BITS`` and ``gf hgs tpm-root add`` do, in one process."""
    django.setup()
    from django.core.management import call_command

    from hgs.commands.initialise import initialise
    from hgs.commands.trust import add_tpm_root
    from hgs.models import OperationMode
    from portal.kernel.actor import Actor, ActorKind, Role

    call_command("migrate", interactive=False, verbosity=0)
    administrator = Actor(ActorKind.USER, "benchmark", "benchmark", frozenset({Role.HGS_ADMIN}))
    initialise(administrator, mode=OperationMode.TPM, name="benchmark", key_size=bits)
    add_tpm_root(administrator, "benchmark", root.read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
