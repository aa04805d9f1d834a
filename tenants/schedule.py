"""What beat sends for tenants, and how often (seconds)."""

from fabric.schedule import every
from tenants.commands.dependents import TASK

REPORT_SECONDS = 120.0
BEAT_SCHEDULE = {"report-dependents": every(REPORT_SECONDS, TASK)}
