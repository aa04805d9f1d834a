"""A wizard: one page for each step with its own address, numbered strips, and round buttons at the bottom right.

What was typed is kept by the server at each step, Back included, so that a wizard can be left and gone on with later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from django import forms
from django.core.exceptions import ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse

from portal.kernel.errors import DomainError, Invalid, NotFound
from portal.web.views.base import ShellView

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WizardStep:
    """A step; its page takes the wizard's object as `pk`."""

    key: str
    label: str
    url_name: str


@dataclass(frozen=True)
class Strip:
    """A step as the page draws it. `url` is empty where one cannot go now; `done` means that it lies behind."""

    number: int
    label: str
    url: str
    current: bool
    done: bool


class WizardView(ShellView):
    """One step of a wizard.

    A concrete step sets `steps`, `step` (its own key), `heading` and perhaps `form_class`, `next_label`, `next_icon`,
    and implements `run(data)`, which does what the step asks for and returns the next address. `open_steps()` says
    where one may go; who opens another step is sent to `current_url()`. `keep(form)` is told what was typed when Back
    is pressed. Without an object (before the first step is done) only that first step is open.
    """

    template_name = "web/wizard.html"
    steps: Sequence[WizardStep] = ()
    step: str = ""
    heading: str = ""
    form_class: ClassVar[type[forms.Form]] = forms.Form
    next_label: str = "Next"
    next_icon: str = "arrow-right"
    close_url_name: str = ""
    object: Any = None

    def get_object(self) -> Any:
        """What the wizard works on, None before there is any; raises NotFound or DoesNotExist."""
        return None

    def open_steps(self) -> Sequence[str]:
        """Keys of the steps that may be opened now."""
        return (self.steps[0].key,)

    def current_url(self) -> str:
        """The address of the step where the wizard stands."""
        raise NotImplementedError

    def run(self, data: dict[str, Any]) -> str:
        """Do the step; returns the address that follows. DomainErrors go to the form."""
        raise NotImplementedError

    def keep(self, form: forms.Form) -> None:
        """Keep what was typed, as far as it goes, for whoever comes back."""

    def get_initial(self) -> dict[str, Any]:
        return {}

    def get_form_kwargs(self) -> dict[str, Any]:
        return {}

    def refusal(self) -> str:
        """Why Next is not possible now, in a sentence; empty if it is."""
        return ""

    def url_of(self, key: str) -> str:
        """The address of a step."""
        name = next(step.url_name for step in self.steps if step.key == key)
        return reverse(name, kwargs={"pk": self.object.pk})

    # --- the machinery

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            self.object = self.get_object()
        except (NotFound, ObjectDoesNotExist) as error:
            raise Http404 from error
        if self.step not in self.open_steps():
            return self.go(self.current_url())
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        return self.render_to_response(self.get_context_data(form=self.build_form()))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        form = self.build_form()
        if request.POST.get("go") == "back" and (back := self.back_url()):
            form.is_valid()
            self.keep(form)
            return self.go(back)
        if not form.is_valid():
            return self.again(form, 422)
        try:
            return self.go(self.run(form.cleaned_data))
        except DomainError as error:
            return self.again(self.explained(form, error), error.status)

    def build_form(self) -> forms.Form:
        bound = self.request.method == "POST"
        return self.form_class(
            data=self.request.POST if bound else None,
            files=self.request.FILES if bound else None,
            initial=self.get_initial(),
            **self.get_form_kwargs(),
        )

    def explained(self, form: forms.Form, error: DomainError) -> forms.Form:
        """The form with a domain error on it, by field where it names fields that are there."""
        for name, sentence in (error.fields if isinstance(error, Invalid) else {}).items():
            form.add_error(name if name in form.fields else None, f"{sentence} {error.advice}".strip())
        if not form.errors:
            form.add_error(None, f"{error.message} {error.advice}".strip())
        log.info("wizard-refused", step=self.step, code=error.code, details=error.details)
        return form

    def again(self, form: forms.Form, status: int) -> HttpResponseBase:
        """The same step with its form as it was sent."""
        return self.render_to_response(self.get_context_data(form=form), status=status)

    def go(self, url: str) -> HttpResponseBase:
        """On to another page; htmx is told in its own way."""
        redirect = HttpResponseRedirect(url)
        redirect.status_code = 303
        if getattr(self.request, "htmx", None):
            redirect.status_code = 204
            redirect["HX-Redirect"] = url
            del redirect["Location"]
        return redirect

    def back_url(self) -> str:
        """The step before, if it can be opened."""
        at = self._place()
        before = self.steps[at - 1].key if at else ""
        return self.url_of(before) if self.object is not None and before in self.open_steps() else ""

    def strips(self) -> list[Strip]:
        """All steps, as the page draws them."""
        at, reachable = self._place(), self.open_steps() if self.object is not None else ()
        return [
            Strip(
                number=index + 1,
                label=step.label,
                url=self.url_of(step.key) if step.key in reachable and index != at else "",
                current=index == at,
                done=index < at,
            )
            for index, step in enumerate(self.steps)
        ]

    def _place(self) -> int:
        return next(index for index, step in enumerate(self.steps) if step.key == self.step)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            object=self.object,
            heading=self.heading,
            strips=self.strips(),
            can_go_back=bool(self.back_url()),
            next_label=self.next_label,
            next_icon=self.next_icon,
            refusal=self.refusal(),
            close_url=reverse(self.close_url_name),
            action=self.request.get_full_path(),
            **kwargs,
        )
