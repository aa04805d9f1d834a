"""What one entry of the key log costs while the log grows: ``python -m bench.keys.growing SIZE …`` in HGS's role.

The log is filled by the code that appends releases, in large batches; at each size single entries are timed, each in a
transaction of its own, as a release on an idle HGS makes it. Prints one JSON object.
"""

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import uuid4

import django

TIMED = 400
BATCH = 4096


def main(sizes: Sequence[int]) -> None:
    """Processor and wall milliseconds of one entry at each size, and whether the whole log is right at the end."""
    django.setup()
    from hgs.commands import key_log as appending
    from hgs.selectors import key_log
    from hgs.transparency.entry import KeyEvent

    log = key_log.log_key()

    def append(count: int) -> None:
        event = KeyEvent(
            at=datetime.now(UTC),
            result="released",
            protector=os.urandom(32).hex(),
            egress=os.urandom(32).hex(),
            vm=str(uuid4()),
            host=os.urandom(32).hex(),
            host_name="host001",
            certificate=os.urandom(16).hex(),
            verdict=str(uuid4()),
        )
        appending.commit([appending.Entry(event, None) for _ in range(count)], log)

    found = {}
    for size in sizes:
        while (missing := size - key_log.size()) > 0:
            append(min(missing, BATCH))
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(TIMED):
            append(1)
        found[str(size)] = {
            "cpu_ms": (time.process_time() - cpu) / TIMED * 1e3,
            "wall_ms": (time.perf_counter() - wall) / TIMED * 1e3,
        }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
