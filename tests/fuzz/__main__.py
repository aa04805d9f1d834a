"""``python -m tests.fuzz [SECONDS] [NAME …]``: every harness, one after another, each for SECONDS (60).

What is found while fuzzing is kept in ``var/fuzz/NAME``, apart from the corpus that belongs to the project; a crash is
written to ``var/fuzz/NAME-crash-…``. Ends with 1 when a harness found something.
"""

import subprocess
import sys
from pathlib import Path

from tests.fuzz import HARNESSES

WORK = Path("var/fuzz")


def fuzz(name: str, seconds: int) -> bool:
    """Run one harness; True when it found nothing."""
    found = WORK / name
    found.mkdir(parents=True, exist_ok=True)
    options = [f"-max_total_time={seconds}", "-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={WORK}/{name}-"]
    command = [sys.executable, "-m", f"tests.fuzz.{name}", *options, "-print_final_stats=1", str(found)]
    return subprocess.run(command, check=False).returncode == 0


def main(arguments: list[str]) -> int:
    seconds = int(arguments[0]) if arguments else 60
    names = arguments[1:] or HARNESSES
    failed = [name for name in names if not fuzz(name, seconds)]
    sys.stdout.write(f"Fuzzed {', '.join(names)}. Found something: {', '.join(failed) or 'nothing'}.\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
