"""What gunicorn does in each process that serves HGS; it reads this module as its configuration."""

import threading
from typing import Any

_ending = threading.Event()


def post_worker_init(_worker: Any) -> None:
    """Start noting that this node lives, once the process has loaded HGS."""
    from hgs.commands.clocks import keep_beating

    threading.Thread(target=keep_beating, args=(_ending,), name="node-beat", daemon=True).start()


def worker_exit(_server: Any, _worker: Any) -> None:
    """End with the process."""
    _ending.set()
