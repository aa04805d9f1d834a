"""Roles: who administers this HGS, and who reviews it."""

from collections.abc import Iterable
from typing import Final

from django.contrib.auth import get_user_model

from hgs.trace.findings import Diagnostic, Facts, Told, named, passed, warning
from portal.kernel.actor import Role

_ADD: Final = "Add one: gf hgs admin add NAME"


def _names(role: Role) -> list[str]:
    accounts = get_user_model().objects.filter(role=role.value, is_active=True)
    return [account.get_username() for account in accounts]


def administrators(_facts: Facts) -> Iterable[Told]:
    """At least two people, so that HGS does not depend on one."""
    found = _names(Role.HGS_ADMIN)
    if not found:
        yield warning("HGS has no administrator: only gf hgs on a node can decide anything.", _ADD)
    elif len(found) == 1:
        yield warning(f"{found[0]} is the only administrator of HGS: nobody can stand in.", _ADD)
    else:
        yield passed(f"{len(found)} people administer HGS: {named(found)}.")


def reviewers(_facts: Facts) -> Iterable[Told]:
    """Whoever reads without changing anything."""
    found = _names(Role.HGS_REVIEWER)
    yield passed(f"{len(found)} reviewers: {named(found)}." if found else "There is no reviewer; none is needed.")


DIAGNOSTICS: Final = (
    Diagnostic("administrators", "Administrators", "Roles", administrators),
    Diagnostic("reviewers", "Reviewers", "Roles", reviewers),
)
