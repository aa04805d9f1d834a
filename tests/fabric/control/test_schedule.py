"""What beat sends exists, and is sent to workers that exist."""

import fabric.tasks
from fabric.schedule import BEAT_SCHEDULE
from portal.celery import app


def test_beat_sends_every_entry_of_the_fabric_to_a_task_that_exists() -> None:
    assert fabric.tasks
    for name, entry in BEAT_SCHEDULE.items():
        assert app.conf.beat_schedule[name] == entry
        assert entry["task"] in app.tasks
        assert entry["options"]["queue"] == "fabric"
