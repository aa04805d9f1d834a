"""What HGS has stored, as one JSON object: ``python -m bench.keys.stored`` in HGS's role."""

import json
import sys

import django


def main() -> None:
    """Counts of releases, the size of the key log, and whether it is whole: every leaf, its details, every tile."""
    django.setup()
    from hgs.models import KeyRelease
    from hgs.selectors import key_log
    from hgs.selectors.key_log_check import damage

    found = {
        "released": KeyRelease.objects.filter(released=True).count(),
        "refused": KeyRelease.objects.filter(released=False).count(),
        "size": key_log.size(),
        "damage": damage(),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
