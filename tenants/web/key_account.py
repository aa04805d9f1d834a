"""Pages: the account of keys, of one VM and of an owner, and the proof that opens an owner's."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET

from fabric.key_account import key_log_key
from hgs.transparency.note import VerifierKey
from portal.kernel.errors import DomainError, NotFound, Unavailable
from portal.web.access import Access, open_to
from portal.web.commands import CommandButton
from portal.web.tables import BaseTable, FingerprintColumn, NameColumn, NumberColumn, StatusColumn, TimeColumn
from portal.web.views import CommandView, Empty, ObjectDetailView, ObjectListView, Outcome, PivotOf
from portal.web.views.base import ShellRequest
from tenants.commands.key_log_bundle import pass_on_bundle
from tenants.commands.owner_proof import close_key_account, new_challenge, prove_owner
from tenants.owner_proof import PROOF_MAX
from tenants.selectors import key_account
from tenants.selectors.key_account import EntryPage, OwnerAccount
from tenants.web import statuses
from tenants.web.revocations import revoke_button

SHIELDING_DATA_PIVOTS = (
    PivotOf("files", "Files", "tenants:shielding-data"),
    PivotOf("templates", "Templates", "tenants:templates"),
    PivotOf("key-account", "Key account", "tenants:key-accounts"),
)
BUNDLE_TYPE = "application/zip"


@dataclass(frozen=True)
class Shown:
    """What a page shows of the account: entries as of a time, or why there are none to show."""

    as_of: datetime
    page: EntryPage | None = None
    problem: DomainError | None = None
    older_url: str = ""
    is_newest: bool = True


def shown(request: HttpRequest, read: Any) -> Shown:
    """The page of entries that the address asks for, by `read(before)`; HGS being away is no empty list."""
    now = timezone.now()
    try:
        before = key_account.index_in(request.GET.get("before"), "before")
        page = read(before)
    except DomainError as error:
        return Shown(now, problem=error)
    older = f"?{urlencode({'before': page.before})}" if page.before is not None else ""
    return Shown(now, page, older_url=older, is_newest=before is None)


def rows_of(account: Shown) -> list[tuple[Any, Any]]:
    """Each entry with its status."""
    entries = account.page.entries if account.page else ()
    return [(statuses.key_event(entry.event), entry) for entry in entries]


class OwnerTable(BaseTable):
    name = NameColumn(
        url=lambda one: reverse("tenants:key-account", args=[one.fingerprint]), icon=lambda _: "key-round",
        accessor="label", verbose_name="Owner",
    )  # fmt: skip
    state = StatusColumn(of=statuses.key_account, accessor="is_open", verbose_name="Your account of keys")
    fingerprint = FingerprintColumn(verbose_name="Certificate")
    files = NumberColumn(verbose_name="Files")
    proven_at = TimeColumn(accessor="proof__proven_at", verbose_name="Proven", default="–")

    class Meta(BaseTable.Meta):
        narrow = ("name", "state")


class OwnerList(ObjectListView):
    """The owners whose keys a tenant may ask about."""

    access, rail, title = Access.TENANT, "shielding-data", "key account"
    pivots, pivot = SHIELDING_DATA_PIVOTS, "key-account"
    template_name, table_class = "tenants/key_accounts.html", OwnerTable
    empty = Empty("Your shielding data names the owners. Upload a file first.", "Upload a file",
                  "tenants:shielding-data-new")  # fmt: skip

    def get_extra_buttons(self) -> list[CommandButton]:
        return [revoke_button()]

    def get_rows(self) -> list[OwnerAccount]:
        return key_account.owner_accounts(self.actor)

    def row_key(self, row: OwnerAccount) -> str:
        return row.fingerprint


class OwnerPage(ObjectDetailView):
    """Everything that happened to one owner's keys, once the account has proven that it holds the owner's key."""

    access, rail, template_name = Access.TENANT, "shielding-data", "tenants/key_account.html"
    parent_url_name, parent_label = "tenants:key-accounts", "key account"
    object: OwnerAccount

    def get_object(self) -> OwnerAccount:
        return key_account.account_of(self.actor, self.kwargs["owner"])

    def get_title(self) -> str:
        return self.object.label

    def get_status(self) -> Any:
        return statuses.key_account(self.object)

    def get_buttons(self) -> list[CommandButton]:
        owner, is_open = self.object.fingerprint, self.object.is_open
        closed = "" if is_open else "Prove first that you hold this owner's key."
        return [
            CommandButton("prove", "Prove again" if is_open else "Prove", "key-round",
                          reverse("tenants:key-account-prove", args=[owner])),
            CommandButton("bundle", "Bundle", "download", reverse("tenants:key-account-bundle", args=[owner]), closed,
                          download=True),
            CommandButton("close", "Close", "lock", reverse("tenants:key-account-close", args=[owner]), closed,
                          destructive=True),
            revoke_button(),
        ]  # fmt: skip

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        account = None
        if self.object.is_open:
            owner = self.object.fingerprint
            account = shown(self.request, lambda before: key_account.entries_of_owner(self.actor, owner, before))
        return super().get_context_data(
            account=account,
            rows=rows_of(account) if account else [],
            not_yours=statuses.not_yours(),
            bundle_name=bundle_name(self.object.fingerprint),
            log_key=_log_key() if account and not account.problem else None,
            **kwargs,
        )


def _log_key() -> VerifierKey | None:
    try:
        return key_log_key()
    except DomainError:
        return None


class ProofForm(forms.Form):
    proof = forms.CharField(
        max_length=PROOF_MAX, help_text="The line that the command prints. It begins with gf-owner-proof.",
        widget=forms.Textarea(attrs={"rows": 6, "autocomplete": "off", "spellcheck": "false", "class": "mono"}),
    )  # fmt: skip


class OwnerProve(CommandView):
    """Prove that one holds an owner's key."""

    access, rail, submit_label = Access.TENANT, "shielding-data", "Open the account"
    title, template_name, form_class = "prove that you own these keys", "tenants/prove_owner.html", ProofForm
    object: OwnerAccount

    def get_object(self) -> OwnerAccount:
        return key_account.account_of(self.actor, self.kwargs["owner"])

    def get_parent(self) -> tuple[str, str]:
        url = reverse("tenants:key-account", args=[self.object.fingerprint])
        return url, self.object.label

    def run(self, data: dict[str, Any]) -> Outcome:
        proven = prove_owner(self.actor, proof=data["proof"])
        url = reverse("tenants:key-account", args=[proven.owner_fingerprint])
        return Outcome(url, "You see the whole account of these keys now.")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        challenge = new_challenge(self.actor, owner=self.object.fingerprint, origin=origin_of(self.request))
        return super().get_context_data(challenge=challenge, **kwargs)


class OwnerClose(CommandView):
    """Take the proof back."""

    access, rail, submit_label, destructive = Access.TENANT, "shielding-data", "Close the account", True
    title = "close the account of keys"
    object: OwnerAccount

    def get_object(self) -> OwnerAccount:
        account = key_account.account_of(self.actor, self.kwargs["owner"])
        if not account.is_open:
            raise NotFound("key-account-closed", "You have not opened the account of this owner's keys.")
        return account

    def get_parent(self) -> tuple[str, str]:
        return reverse("tenants:key-accounts"), "key account"

    def consequences(self) -> list[str]:
        return [
            "You no longer see the whole account of these keys. A new proof of the owner's key opens it again.",
            "HGS goes on logging every release and every refusal.",
        ]

    def run(self, data: dict[str, Any]) -> Outcome:  # noqa: ARG002
        close_key_account(self.actor, owner=self.object.fingerprint)
        return Outcome(reverse("tenants:key-accounts"), "The account of these keys is closed.")


@require_GET
@open_to(Access.TENANT)
def bundle(request: ShellRequest, owner: str) -> HttpResponseBase:
    """The offline bundle of a proven owner; a page that says why not where there is none."""
    try:
        return bundle_response(request.actor, owner, request.GET.get("from"))
    except NotFound:
        raise Http404 from None
    except DomainError as error:
        return _no_bundle(request, owner, error)


def bundle_response(actor: Any, owner: str, from_size: str | None) -> StreamingHttpResponse:
    """The bundle as a download. Raises as `pass_on_bundle`, and `Invalid`."""
    size = key_account.index_in(from_size, "from") or 0
    pieces = pass_on_bundle(actor, owner=owner, from_size=size)
    named = f'attachment; filename="{bundle_name(owner)}"'
    headers = {"Content-Disposition": named, "Content-Length": str(pieces.size), "Cache-Control": "private, no-store"}
    return StreamingHttpResponse(pieces, content_type=BUNDLE_TYPE, headers=headers)


def bundle_name(owner: str) -> str:
    """What a bundle is called as a file."""
    return f"key-log-{owner[:16]}.zip"


def _no_bundle(request: HttpRequest, owner: str, error: DomainError) -> HttpResponse:
    values = {"title": "no bundle", "error": error, "owner": owner, "rail_key": "shielding-data"}
    response = render(request, "tenants/no_bundle.html", values, status=error.status)
    if isinstance(error, Unavailable):
        for name, value in error.headers.items():
            response[name] = value
    return response


def origin_of(request: HttpRequest) -> str:
    """Scheme, host and port by which the person reached the portal; only hosts that settings allow get here."""
    return f"{request.scheme}://{request.get_host()}"
