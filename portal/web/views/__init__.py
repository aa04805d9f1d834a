"""Generic views that applications subclass; the shell's own pages are in this package's other modules."""

from portal.web.views.base import PageView, Pivot, PivotOf, ShellView
from portal.web.views.bulk import BulkCommandView
from portal.web.views.commands import CommandView, Outcome
from portal.web.views.details import Fact, FactGroup, ObjectDetailView
from portal.web.views.lists import Empty, ObjectListView
from portal.web.views.wizard import WizardStep, WizardView

__all__ = [
    "BulkCommandView",
    "CommandView",
    "Empty",
    "Fact",
    "FactGroup",
    "ObjectDetailView",
    "ObjectListView",
    "Outcome",
    "PageView",
    "Pivot",
    "PivotOf",
    "ShellView",
    "WizardStep",
    "WizardView",
]
