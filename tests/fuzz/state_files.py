"""What is inside a state file: lines of records."""

from contextlib import suppress

from hgs.statefile.errors import StateFileError
from hgs.statefile.form import Reading, Record, lines
from tests.fuzz.harness import run


def check(data: bytes) -> None:
    """Only the package's own error; whatever is read is written again as the same bytes."""
    records: list[Record] = []
    with suppress(StateFileError):
        reading = Reading([data])
        for record in reading.records():
            records.append(record)
            assert list(lines(reading.head, [record]))[1] in data
        assert b"".join(lines(reading.head, records)) == data
        assert sum(reading.summary.counts.values()) == len(records)


if __name__ == "__main__":
    run("state_files")
