"""Whatever bytes a file holds, ``gf evidence`` ends with one of its exit codes and a sentence."""

import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hgs.attestation.tpm import Algorithm, PcrSelection
from tests.hgs.attestation.boots import Boot
from tests.hgs.attestation.samples import FOLDER
from tests.hgs.cli.evidence_files import attest_quote, pcrs_json, pem, public_area, run, sign
from tests.hgs.cli.test_evidence_ek import LEAF, MANUFACTURER

Mutation = Callable[[bytes], bytes]
BUDGET = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def originals(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(FOLDER.glob(pattern))]


@cache
def logs() -> tuple[bytes, ...]:
    small = [data for data in originals("eventlogs/*") if len(data) < 45_000]
    return (Boot(locality=3).log().build().serialise(), *small)


@cache
def certificates() -> tuple[bytes, ...]:
    return (LEAF, *originals("ekcerts/*"))


@cache
def quote_files() -> dict[str, tuple[bytes, ...]]:
    attest = attest_quote((PcrSelection.of(Algorithm.SHA256, (7,)),), {Algorithm.SHA256: {7: bytes(32)}})
    return {
        "quote": (attest, *originals("quotes/*/quote.bin")),
        "signature": (sign(attest), *originals("quotes/*/signature.bin")),
        "ak": (pem(), public_area().serialise(), *originals("quotes/*/ak.*")),
        "pcrs": (pcrs_json({"sha256": {7: bytes(32)}}), *originals("quotes/*/pcrs.json")),
        "log": (Boot().log().build().serialise(),),
    }


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """Some changes of bytes: flips, numbers at their limits, cuts, insertions, repetitions."""
    places = draw(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 5), st.binary(min_size=1, max_size=8)), max_size=6)
    )

    def mutate(data: bytes) -> bytes:
        for share, what, new in places:
            at = int(share * len(data))
            if what == 0:
                data = data[:at] + new + data[at + len(new) :]
            elif what == 1:
                data = data[:at] + struct.pack("<I", 0xFFFFFFFF) + data[at + 4 :]
            elif what == 2:
                data = data[:at]
            elif what == 3:
                data = data[:at] + new + data[at:]
            elif what == 4:
                data = data[:at] + data[at + len(new) :]
            else:
                data = data[:at] + bytes([(data[at] if at < len(data) else 0) ^ 1 << new[0] % 8]) + data[at + 1 :]
        return data

    return mutate


@BUDGET
@given(pick=st.integers(0, 9), mutate=mutations())
def test_any_log_is_shown_or_refused(pick: int, mutate: Mutation, tmp_path: Path) -> None:
    data = mutate(logs()[pick % len(logs())])
    (tmp_path / "log").write_bytes(data)
    run("show", tmp_path / "log")
    run("show", tmp_path / "log", "--json")


@BUDGET
@given(pick=st.integers(0, 9), mutate=mutations())
def test_any_two_logs_are_compared_or_refused(pick: int, mutate: Mutation, tmp_path: Path) -> None:
    data = logs()[pick % len(logs())]
    (tmp_path / "one").write_bytes(data)
    (tmp_path / "two").write_bytes(mutate(data))
    run("diff", tmp_path / "one", tmp_path / "two")
    run("diff", tmp_path / "two", tmp_path / "one", "--json")


@BUDGET
@given(picks=st.lists(st.integers(0, 9), min_size=5, max_size=5), which=st.integers(0, 4), mutate=mutations())
def test_any_quote_is_judged_or_refused(picks: list[int], which: int, mutate: Mutation, tmp_path: Path) -> None:
    arguments: list[object] = []
    for number, (name, choices) in enumerate(quote_files().items()):
        data = choices[picks[number] % len(choices)]
        (tmp_path / name).write_bytes(mutate(data) if number == which else data)
        arguments += [f"--{name}", tmp_path / name]
    run("verify", *arguments)
    run("verify", *arguments, "--json", "--nonce", "00")


@BUDGET
@given(pick=st.integers(0, 9), mutate=mutations(), as_root=st.booleans())
def test_any_certificate_is_judged_or_refused(pick: int, mutate: Mutation, as_root: bool, tmp_path: Path) -> None:
    data = mutate(certificates()[pick % len(certificates())])
    folder = tmp_path / "roots"
    folder.mkdir(exist_ok=True)
    (folder / "root.cer").write_bytes(data if as_root else MANUFACTURER.root)
    (tmp_path / "ek").write_bytes(LEAF if as_root else data)
    run("ek", tmp_path / "ek", "--roots", folder)
    run("ek", tmp_path / "ek", "--roots", folder, "--json", "--at", "2026-01-01")


@pytest.mark.parametrize("command", ["show", "ek"])
@BUDGET
@given(data=st.binary(max_size=400))
def test_any_bytes_at_all_are_refused_in_a_sentence(command: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    run(command, tmp_path / "file", *(("--roots", tmp_path) if command == "ek" else ()))
