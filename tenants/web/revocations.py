"""Page: an owner's revocation notice, passed on to HGS."""

from typing import Any

from django import forms
from django.urls import reverse

from hgs.keyprotection.revocation import NOTICE_MAX
from portal.web.access import Access
from portal.web.commands import CommandButton
from portal.web.views import CommandView, Outcome
from tenants.commands.revocation import pass_on_notice


class NoticeForm(forms.Form):
    file = forms.FileField(
        label="Revocation notice", help_text="The file that gf key-protector revoke --notice wrote, at most 64 KiB.",
        widget=forms.FileInput(attrs={"accept": ".xml", "data-max-bytes": str(NOTICE_MAX)}),
    )  # fmt: skip


class SendNotice(CommandView):
    """Have HGS refuse key protectors for good."""

    access, rail, title, submit_label = Access.TENANT, "shielding-data", "revoke key protectors", "Send the notice"
    parent_url_name, parent_label = "tenants:key-accounts", "key account"
    form_class, destructive = NoticeForm, True
    body_most = 2 * NOTICE_MAX

    def consequences(self) -> list[str]:
        return [
            "The Host Guardian Service (HGS) refuses every key protector that the notice names, whoever brings it. "
            "This cannot be taken back.",
            "A virtual machine's key protector is one link of a chain: each start made a new one. No link of that "
            "chain opens any more, and a machine whose host still has one of them cannot be started again.",
            "So first replace the machine's key protector and start the machine once with the new one; then send the "
            "notice.",
            "Key protectors of other owners are not touched, whoever sends the notice: the owner's signature in it "
            "counts.",
        ]

    def run(self, data: dict[str, Any]) -> Outcome:
        passed_on = pass_on_notice(self.actor, data["file"].read(NOTICE_MAX + 1))
        return Outcome(reverse("tenants:key-accounts"), _said(passed_on.named, passed_on.revoked))


def _said(named: int, revoked: int) -> str:
    what = f"The notice names {named} key protector{'' if named == 1 else 's'}"
    if not revoked:
        return f"{what}. HGS refused all of that already."
    return f"{what}. HGS newly refuses {revoked}, links of the same chains with them."


def revoke_button() -> CommandButton:
    """The button that leads to the page."""
    return CommandButton("revoke", "Revoke…", "shield-x", reverse("tenants:revoke"), destructive=True)
