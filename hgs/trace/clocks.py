"""Clocks of nodes and hosts: where they differ, certificates look expired, or not valid yet."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.utils import timezone

from hgs.commands.clocks import BEAT_SECONDS, database_time
from hgs.models import Attestation, ClockKind, ClockReading
from hgs.trace.findings import Diagnostic, Facts, Told, counted, failed, passed, warning

WORTH_A_LOOK: Final = 30.0
TOO_FAR: Final = 300.0
"""Seconds; Kerberos refuses tickets from here on, and exchanges expire after two minutes."""
SILENT: Final = timedelta(seconds=5 * BEAT_SECONDS)
_REMEDY: Final = "Let it keep its time by NTP, from the same source as the others."


def this_node(_facts: Facts) -> Iterable[Told]:
    """This machine and the database agree."""
    ahead = (timezone.now() - database_time()).total_seconds()
    yield _judged("This node", ahead) or passed("This node and the database agree about the time.")


def nodes(facts: Facts) -> Iterable[Told]:
    """Every node lives, and its clock is that of the database."""
    found = list(ClockReading.objects.filter(kind=ClockKind.NODE))
    well = 0
    for node in found:
        if facts.now - node.at > SILENT:
            yield warning(
                f"The node {node.name} was last heard of at {node.at:%Y-%m-%d %H:%M} UTC.",
                "Start it, or leave it: a node that stays silent for a day is forgotten.",
            )
        elif (told := _judged(f"The node {node.name}", node.ahead_seconds)) is not None:
            yield told
        else:
            well += 1
    if found and well == len(found):
        yield passed(f"Alive, with clocks that agree with the database's: {counted(well, 'node')}.")


def hosts(_facts: Facts) -> Iterable[Told]:
    """No host told a time that is off when it attested last."""
    off = 0
    for reading in ClockReading.objects.filter(kind=ClockKind.HOST):
        later = Attestation.objects.filter(identity=reading.subject, proven=True, at__gt=reading.at)
        if not later.exists() and (told := _judged(f"The host {reading.name}", reading.ahead_seconds)) is not None:
            off += 1
            yield told
    if not off:
        yield passed("No host that tells the time told a wrong one when it attested last.")


def _judged(who: str, ahead: float) -> Told | None:
    if abs(ahead) < WORTH_A_LOOK:
        return None
    sentence = f"{who} has a clock that is {abs(ahead):.0f} seconds {'ahead' if ahead > 0 else 'behind'}."
    return failed(sentence, _REMEDY) if abs(ahead) >= TOO_FAR else warning(sentence, _REMEDY)


DIAGNOSTICS: Final = (
    Diagnostic("clock", "Clock of this node", "Clocks", this_node),
    Diagnostic("node-clocks", "Nodes", "Clocks", nodes),
    Diagnostic("host-clocks", "Clocks of hosts", "Clocks", hosts),
)
