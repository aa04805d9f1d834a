"""Every file of every corpus goes through its harness: what the fuzzer once found stays found."""

import importlib
import inspect
from pathlib import Path

import pytest

from tests.fuzz import HARNESSES, seeds
from tests.fuzz.harness import corpus

FILES = [(name, path) for name in HARNESSES for path in corpus(name)]


@pytest.mark.parametrize("name", HARNESSES)
def test_no_corpus_is_empty(name: str) -> None:
    assert corpus(name)


@pytest.mark.parametrize(("name", "path"), FILES, ids=lambda value: value.name if isinstance(value, Path) else value)
def test_every_file_of_the_corpus_passes_its_harness(name: str, path: Path) -> None:
    importlib.import_module(f"tests.fuzz.{name}").check(path.read_bytes())


def test_every_harness_has_seeds_that_our_writers_write() -> None:
    assert {write.__name__ for write in seeds.SEEDS} == set(HARNESSES)
    for write in seeds.SEEDS:
        harness = importlib.import_module(f"tests.fuzz.{write.__name__}")
        assert inspect.isfunction(harness.check)
        for data in write().values():
            harness.check(data)
