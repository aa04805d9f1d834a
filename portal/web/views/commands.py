"""The one way a page changes something: a form or a question, a command of the application, a notification."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from django import forms
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import slugify

from portal.kernel.errors import DomainError, Invalid, NotFound
from portal.kernel.policy import Denial, require
from portal.web.commands import ObjectCommand
from portal.web.notifications import notify_done, notify_failed, notify_job
from portal.web.registry import NewItem, Portal, entries, new_services
from portal.web.views.base import ShellView

log = structlog.get_logger(__name__)

DRAWER_TARGET = "drawer-form"


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
        url: the page to open next.
        done: sentence for the notification bar once it is done ("web01 was removed."); the only one without a job.
        job_id: a kernel job that goes on; then `started` and `failed` are said while and after it runs.
    """

    url: str
    done: str
    job_id: str | None = None
    started: str = ""
    failed: str = ""


def drawer_columns(portal: Portal, service: str) -> dict[str, Any]:
    """What the first two columns of NEW show, with `service` (its slug) open, else the first."""
    services = new_services(portal)
    current = next((each for each in services if each.slug == service), services[0] if services else None)
    address = reverse(f"web:{portal}-new")
    return {
        "new_services": [
            {
                "label": each.label,
                "icon": each.icon,
                "url": f"{address}?service={each.slug}",
                "current": each is current,
            }
            for each in services
        ],
        "service_items": current.items if current else (),
    }


class CommandView(ShellView):
    """A command as a page: GET asks, POST does.

    A concrete command sets `access`, `title`, `submit_label`, and `form_class` and/or `consequences()`; it implements
    `run(data)`, which calls the application's command function with `self.actor` and returns an `Outcome`. Errors of
    the domain become a failure in the notification bar and an error on the form, which keeps its input. For a command
    on an object set `command` (its policy guards GET and POST alike) and implement `get_object()`. `typed_name()`
    not empty asks for that name first. `new_item` names the drawer entry whose form this is.
    """

    template_name = "web/command.html"
    fragment_template = "web/parts/command_form.html"
    fragment_target = DRAWER_TARGET
    form_class: ClassVar[type[forms.Form] | None] = None
    command: ObjectCommand | None = None
    new_item: str = ""
    submit_label: str = "OK"
    cancel_url_name: str = ""
    destructive: bool = False
    object: Any = None

    def get_object(self) -> Any:
        """The object acted upon, or None; raises NotFound or DoesNotExist where the actor may not see it."""
        return None

    def run(self, data: dict[str, Any]) -> Outcome:
        """Do it. `data` is the form's cleaned data (empty without a form)."""
        raise NotImplementedError

    def consequences(self) -> Sequence[str]:
        """What will happen, in sentences, asked before a destructive command."""
        return ()

    def typed_name(self) -> str:
        """A name to type before something that cannot be undone."""
        return ""

    def get_form_kwargs(self) -> dict[str, Any]:
        """More arguments for the form's constructor, such as choices the actor may see."""
        return {}

    def get_initial(self) -> dict[str, Any]:
        return {}

    def get_cancel_url(self) -> str:
        """Where Cancel leads: the page one came from if it is ours, else the parent page."""
        came_from = self.request.GET.get("next", "") or self.request.POST.get("next", "")
        if url_has_allowed_host_and_scheme(came_from, {self.request.get_host()}):
            return came_from
        parent = self.get_parent()
        return parent[0] if parent else f"/{'fabric/' if self.portal == 'fabric' else ''}"

    # --- the machinery

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            self.object = self.get_object()
        except (NotFound, ObjectDoesNotExist) as error:
            raise Http404 from error
        return super().dispatch(request, *args, **kwargs)

    def build_form(self) -> forms.Form:
        form_class = self.form_class or forms.Form
        bound = self.request.method == "POST"
        form = form_class(
            data=self.request.POST if bound else None,
            files=self.request.FILES if bound else None,
            initial=self.get_initial(),
            **self.get_form_kwargs(),
        )
        if self.typed_name():
            form.fields["typed_name"] = forms.CharField(
                label="Its name, to confirm",
                help_text=f"Type {self.typed_name()}. This cannot be undone.",
                widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
            )
        return form

    def denial(self) -> Denial | None:
        decision = self.command.decide(self.actor, self.object) if self.command else None
        return decision if isinstance(decision, Denial) else None

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        return self.render_to_response(self.get_context_data(form=self.build_form()))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        form = self.build_form()
        if not form.is_valid():
            return self.refuse(form, 422)
        if self.typed_name() and form.cleaned_data.pop("typed_name").strip() != self.typed_name():
            form.add_error("typed_name", "That is not the name. Nothing was changed.")
            return self.refuse(form, 422)
        try:
            if self.command is not None:
                require(self.command.decide(self.actor, self.object))
            outcome = self.run(form.cleaned_data)
        except DomainError as error:
            return self.explain(form, error)
        return self.succeed(outcome)

    def explain(self, form: forms.Form, error: DomainError) -> HttpResponse:
        """Put a domain error on the form, by field where it names fields, else keep it in the notification bar too."""
        wrong = error.fields if isinstance(error, Invalid) else {}
        for name, sentence in wrong.items():
            form.add_error(name if name in form.fields else None, sentence)
        if not form.errors:
            form.add_error(None, f"{error.message} {error.advice}".strip())
        error_id = self.request.request_id
        log.info("command-refused", title=self.get_title(), code=error.code, details=error.details)
        if not wrong:  # what stands at its field is mended there, and nobody has to dismiss it
            notify_failed(self.actor, self.get_title(), error, error_id)
        return self.refuse(form, error.status)

    def refuse(self, form: forms.Form, status: int) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=status)

    def succeed(self, outcome: Outcome) -> HttpResponse:
        if outcome.job_id:
            notify_job(self.actor, outcome.job_id, outcome.started, outcome.done, outcome.failed)
        else:
            notify_done(self.actor, outcome.done, outcome.url)
        if getattr(self.request, "htmx", None):
            return HttpResponse(status=204, headers={"HX-Redirect": outcome.url})
        redirect = HttpResponseRedirect(outcome.url)
        redirect.status_code = 303
        return redirect

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        chosen = next((item for item in entries(NewItem, self.portal) if item.key == self.new_item), None)
        columns = drawer_columns(self.portal, slugify(chosen.service)) if chosen else {}
        return super().get_context_data(
            object=self.object,
            consequences=list(self.consequences()),
            denial=self.denial(),
            submit_label=self.submit_label,
            destructive=self.destructive,
            cancel_url=self.get_cancel_url(),
            new_item=chosen,
            in_drawer=self.is_fragment,
            action=self.request.get_full_path(),
            **columns,
            **kwargs,
        )
