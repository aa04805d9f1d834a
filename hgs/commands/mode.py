"""Which of the three modes HGS attests in: exactly one, switched by one command."""

from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from hgs import kerberos
from hgs.models import (
    Baseline,
    CiPolicy,
    DumpKey,
    HostGroup,
    HostKey,
    OperationMode,
    ServiceConfiguration,
    TpmHost,
)
from hgs.policy import Action, may
from hgs.selectors.configuration import configuration
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Unavailable
from portal.kernel.policy import require


@dataclass(frozen=True)
class ModeChange:
    """A switch. ``warnings`` say what stays of the other modes and has no effect."""

    before: OperationMode
    after: OperationMode
    warnings: tuple[str, ...]

    @property
    def is_change(self) -> bool:
        """Whether HGS was in another mode before."""
        return self.before is not self.after


def set_mode(actor: Actor, mode: OperationMode) -> ModeChange:
    """Attest in ``mode`` from now on, on every node; hosts of the mode before get no more certificates and no keys.

    The certificates they have stay worthless after a switch back. What was registered for other modes stays and has no
    effect. Asking for the mode in force changes nothing and is no event. Raises Unavailable while HGS is not
    initialised.
    """
    require(may(actor, Action.CHANGE_MODE))
    configuration()
    with transaction.atomic():
        found = ServiceConfiguration.objects.select_for_update().get()
        change = ModeChange(OperationMode(found.mode), mode, ineffective(mode))
        if change.is_change:
            ServiceConfiguration.objects.update(mode=mode, mode_changed_at=timezone.now())
            audit.record(
                actor,
                "mode:changed",
                target_type="hgs",
                target_id=found.pk,
                summary=f"Mode changed from {change.before.label} to {change.after.label}.",
                data={"before": change.before.label, "after": change.after.label},
            )
    return change


def ineffective(mode: OperationMode) -> tuple[str, ...]:
    """A sentence for what is registered for other modes than ``mode``, as far as there is any."""
    return tuple(
        f"{what} for {other.label} mode {'stays' if count == 1 else 'stay'} registered and {_verb(count)} no effect."
        for other, kinds in _REGISTERED.items()
        if other is not mode
        for what, count in _counted(kinds)
    )


def ticket_problem(mode: OperationMode) -> Unavailable | None:
    """What keeps this node from attesting any host in ``mode``: in Active Directory mode it must check tickets."""
    return kerberos.problem() if mode is OperationMode.ACTIVE_DIRECTORY else None


def unready(mode: OperationMode) -> tuple[str, ...]:
    """A sentence for each reason why no host at all would pass in ``mode`` here and now."""
    problem = ticket_problem(mode)
    found = [f"{problem.message} {problem.advice}".strip()] if problem else []
    _, many, model = _REGISTERED[mode][0]
    if not model._default_manager.exists():
        found.append(f"HGS knows no {many}, so no host passes in {mode.label} mode until that changes.")
    return tuple(found)


def _counted(kinds: "_Kinds") -> list[tuple[str, int]]:
    counts = [(one, many, model._default_manager.count()) for one, many, model in kinds]
    return [(f"{count} {one if count == 1 else many}", count) for one, many, count in counts if count]


def _verb(count: int) -> str:
    return "has" if count == 1 else "have"


_Kinds = tuple[tuple[str, str, type[Model]], ...]
_REGISTERED: Final[dict[OperationMode, _Kinds]] = {
    OperationMode.TPM: (
        ("TPM host", "TPM hosts", TpmHost),
        ("baseline", "baselines", Baseline),
        ("CI policy", "CI policies", CiPolicy),
        ("dump key", "dump keys", DumpKey),
    ),
    OperationMode.ACTIVE_DIRECTORY: (("host group", "host groups", HostGroup),),
    OperationMode.HOST_KEY: (("host key", "host keys", HostKey),),
}
