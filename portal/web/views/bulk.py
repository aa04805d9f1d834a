"""One command on several objects: the question names each of them, and the answer reports on each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import reverse

from portal.kernel.errors import DomainError
from portal.kernel.policy import require
from portal.web import status
from portal.web.commands import ObjectCommand
from portal.web.notifications import notify_done, notify_failed
from portal.web.status import Status
from portal.web.views.base import ShellView

MOST = 100


@dataclass(frozen=True)
class ItemResult:
    """What became of one object."""

    name: str
    status: Status


class BulkCommandView(ShellView):
    """A command on the objects whose ids the list passed as `id=…&id=…`.

    The ids are frozen in the confirmation form, so that what is done is what was read, whatever the list shows by then.
    A concrete view sets `command`, `title`, `submit_label`, `list_url_name`, and implements `get_objects(ids)` (only
    those the actor may see) and `run_one(target)`; the policy is asked again for each object.
    """

    template_name = "web/bulk.html"
    command: ClassVar[ObjectCommand]
    submit_label: str = "OK"
    list_url_name: str = ""

    def get_objects(self, ids: Sequence[str]) -> Sequence[Any]:
        raise NotImplementedError

    def run_one(self, target: Any) -> str:
        """Do it to one object and return the word for its result: "Stopping". DomainErrors are reported."""
        raise NotImplementedError

    def run_all(self, targets: Sequence[Any]) -> Sequence[ItemResult]:
        """Do it to all of them; override where objects go together and the result is not one for each."""
        return [self._result(target) for target in targets]

    def consequences(self) -> Sequence[str]:
        return ()

    def name_of(self, target: Any) -> str:
        return str(getattr(target, "name", target))

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        return self._page(self._chosen(request.GET.getlist("id")))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # noqa: ARG002 - Django's signature
        results = self.run_all(self._chosen(request.POST.getlist("id")))
        failures = [result for result in results if result.status.tone is status.Tone.ERROR]
        said = f"{self.get_title()}: {len(results) - len(failures)} of {len(results)} done."
        if failures:
            reasons = " ".join(f"{each.name}: {each.status.reason}" for each in failures)
            notify_failed(self.actor, said, DomainError("partly-done", reasons), self.request.request_id)
        else:
            notify_done(self.actor, said)
        return self._page([], results)

    def _chosen(self, ids: Sequence[str]) -> Sequence[Any]:
        targets = self.get_objects(list(dict.fromkeys(ids))[:MOST])
        if not targets:
            raise Http404
        return targets

    def _result(self, target: Any) -> ItemResult:
        try:
            require(self.command.decide(self.actor, target))
            return ItemResult(self.name_of(target), status.running(self.run_one(target)))
        except DomainError as error:
            return ItemResult(
                self.name_of(target), status.failed("Not done", f"{error.message} {error.advice}".strip())
            )

    def _page(self, targets: Sequence[Any], results: Sequence[ItemResult] = ()) -> HttpResponseBase:
        context = self.get_context_data(
            targets=[(str(target.pk), self.name_of(target)) for target in targets],
            results=results,
            consequences=list(self.consequences()),
            submit_label=self.submit_label,
            destructive=self.command.destructive,
            list_url=reverse(self.list_url_name),
        )
        return self.render_to_response(context)
