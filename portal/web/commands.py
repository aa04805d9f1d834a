"""Commands of the command bar: one object draws the button and guards the call.

An application defines `START = ObjectCommand("start", "Start", "play", "tenants:vm-start", policy.start)` once. Lists
and detail pages draw it, `CommandView` guards it, and a refusal is shown as the same sentence in each place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from portal.kernel.actor import Actor
from portal.kernel.policy import Allowed, Decision, Denial

Policy = Callable[[Actor, Any], Decision]


@dataclass(frozen=True)
class ObjectCommand:
    """Something that can be done to one object.

    Attributes:
        key: short name, unique on a page.
        label: the caption under the round icon, a verb.
        icon: name in the sprite.
        url_name: a `CommandView` that takes the object's id as `pk` (`url_kwarg` to call it otherwise).
        policy: `(actor, object) -> Allowed | Denial`; None allows always.
        bulk_url_name: a `BulkCommandView` for several objects at once, where that makes sense.
        destructive: coloured as such, and never the first button.
    """

    key: str
    label: str
    icon: str
    url_name: str
    policy: Policy | None = None
    bulk_url_name: str = ""
    destructive: bool = False
    url_kwarg: str = "pk"

    def decide(self, actor: Actor, target: object) -> Decision:
        return Allowed() if self.policy is None else self.policy(actor, target)

    def url(self, pk: object) -> str:
        return reverse(self.url_name, kwargs={self.url_kwarg: pk})

    def button(self, actor: Actor, target: Any, pk: object) -> "CommandButton":
        """The button for an object on its own page: a link, or disabled with the policy's reason."""
        decision = self.decide(actor, target)
        reason = decision.reason if isinstance(decision, Denial) else ""
        return CommandButton(self.key, self.label, self.icon, self.url(pk), reason, self.destructive)


@dataclass(frozen=True)
class CommandButton:
    """A button ready to draw; `reason` not empty means disabled, and says why."""

    key: str
    label: str
    icon: str
    url: str = ""
    reason: str = ""
    destructive: bool = False
    submits: str = ""  # id of a form that the button submits, for SAVE on settings pages
    download: bool = False


NOTHING_SELECTED = "Select a row first."


def selection_buttons(commands: Sequence[ObjectCommand]) -> list[CommandButton]:
    """Buttons of a list while nothing is selected."""
    return [
        CommandButton(command.key, command.label, command.icon, "", NOTHING_SELECTED, command.destructive)
        for command in commands
    ]


def row_commands(commands: Sequence[ObjectCommand], actor: Actor, row: object, pk: object) -> dict[str, dict[str, str]]:
    """What a row says to the command bar about itself: an address, or the reason why not, for each command."""
    said: dict[str, dict[str, str]] = {}
    for command in commands:
        decision = command.decide(actor, row)
        said[command.key] = {"reason": decision.reason} if isinstance(decision, Denial) else {"url": command.url(pk)}
    return said
