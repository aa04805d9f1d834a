"""The shell of both portals: rail, pivots, command bar, NEW drawer, notifications; and the views that fill it.

It knows no application. An application adds its pages in four steps:

*Registration.* In `AppConfig.ready()` call `portal.web.registry.register(...)` with its entries: `Routes("fabric",
"fabric.web.urls")` mounts its pages, `RailEntry(Portal.FABRIC, "hosts", "Hosts", "server", "fabric:hosts", count)` puts
a service in the rail, `NewItem`, `SearchProvider`, `ItemProvider` (ALL ITEMS), `OverviewProvider`, `BannerProvider`,
`ScopeProvider` (subscriptions), `QuickStart` (first tab of the list that says `quick_start = "<key>"`), `JobScopes`
(whose jobs a tenant sees) and `TargetLink` (from a job to its object).

*A list* subclasses `views.ObjectListView`:

    class HostList(ObjectListView):
        access, rail, title = Access.FABRIC, "hosts", "Hosts"
        table_class, filterset_class = HostTable, HostFilter     # tables.BaseTable, django_filters.FilterSet
        commands = (DRAIN, REMOVE)                               # commands.ObjectCommand, enabled by the selection
        empty = Empty("No host is registered yet.", "Register a host", "fabric:host-new")
        def get_rows(self): return Host.objects.visible_to(self.actor)

*A detail page* subclasses `views.ObjectDetailView` with `get_object()`, `get_status()`, `get_glance()` (lines of
`Fact`), `get_job_id()`, and a template that extends `web/detail.html` and fills block `dashboard`. One class per pivot;
the pivots are a tuple of `PivotOf`, shared.

*A command* subclasses `views.CommandView`: `form_class` and/or `consequences()`, `run(data) -> Outcome`. `run` calls
the application's command function with `self.actor`; a `DomainError` becomes a failure in the notification bar and an
error on the form. With `new_item = "<key>"` it is the form of a NEW drawer entry. `command = DRAIN` guards it by the
policy that draws its button. `views.BulkCommandView` does the same to several objects, one by one.

*A wizard* is one subclass of `views.WizardView` for each step, which share `steps` (`WizardStep`s) and the object that
keeps what was typed; `run(data)` does a step and returns the next address. Its template extends `web/wizard.html`.

Every view states `access` (see `portal.web.access`); one that does not is closed. Template tags are in
`{% load shell %}`: `{% icon "server" %}`, `{% status s %}`, `{% moment at %}`, `{% fingerprint text %}`,
`{% job_panel job %}`. Forms are drawn by `{% include "web/parts/form_fields.html" %}`. No inline script or style: the
content security policy refuses them.
"""
