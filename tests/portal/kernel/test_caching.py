"""The shared cache takes no code from a broker that others can write to."""

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portal.kernel.caching import JsonSerializer

ROOT = Path(__file__).resolve().parents[3]


class Trap:
    """Pickled, it makes whoever unpickles it create a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


@pytest.mark.parametrize("value", [0, 5, "text", ["a", 1], {"a": None}, True])
def test_what_goes_in_comes_out(value: object) -> None:
    serializer = JsonSerializer()
    assert serializer.loads(serializer.dumps(value)) == value


def test_a_number_is_one_that_the_broker_can_count_up() -> None:
    assert JsonSerializer().dumps(5) == b"5"


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        JsonSerializer().loads(pickle.dumps(Trap(tmp_path / "ran")))
    assert not (tmp_path / "ran").exists()


def test_the_portal_reads_its_cache_on_the_broker_so() -> None:
    # The settings of the tests have no broker, so the portal's own are read by a process of their own.
    program = (
        "import json; from portal.settings import CACHES; "
        "print(json.dumps([CACHES['default']['BACKEND'], CACHES['default'].get('OPTIONS', {}).get('serializer')]))"
    )
    environment = {"PATH": os.environ["PATH"], "GF_ROLE": "portal", "SECRET_KEY": "x", "GF_VAR_DIR": "/nonexistent"}
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == (
        '["django.core.cache.backends.redis.RedisCache", "portal.kernel.caching.JsonSerializer"]'
    )
