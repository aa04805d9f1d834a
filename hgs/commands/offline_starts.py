"""Whether hosts may start virtual machines while no HGS answers, and how often: MaxOfflineUnwraps ([MS-KPS] 2.2.2.3).

Off unless an HGS administrator permits it. The permission goes out with each release, inside its encrypted part, and
is logged with it; the host's TPM counts. Taking it back reaches a host with the next release: what was permitted
before stays permitted, which is why the number should be small.
"""

from typing import Final

from django.db import transaction

from hgs.models import ServiceConfiguration
from hgs.policy import Action, may
from hgs.selectors.configuration import configuration
from portal.kernel import audit
from portal.kernel.actor import Actor
from portal.kernel.errors import Invalid
from portal.kernel.ids import new_id
from portal.kernel.policy import require

MOST: Final = 1000


def permit_offline_starts(actor: Actor, count: int) -> bool:
    """Let hosts start a VM ``count`` times without HGS after each release of its key; 0 forbids it. Whether it is new.

    Raises Invalid for a number that is none, Unavailable while HGS is not initialised.
    """
    require(may(actor, Action.MANAGE_KEYS))
    if not 0 <= count <= MOST:
        sentence = f"Give a number from 0, which forbids starts without HGS, to {MOST}."
        raise Invalid("offline-starts", sentence, fields={"count": sentence})
    configuration()
    with transaction.atomic():
        found = ServiceConfiguration.objects.select_for_update().get()
        if found.max_offline_unwraps == count:
            return False
        ServiceConfiguration.objects.update(max_offline_unwraps=count, trust_stamp=new_id())
        audit.record(
            actor,
            "offline-starts:changed",
            target_type="hgs",
            target_id=found.pk,
            summary=f"Hosts may start a VM {count} times without HGS." if count else "Hosts start no VM without HGS.",
            data={"before": found.max_offline_unwraps, "after": count},
        )
    return True
