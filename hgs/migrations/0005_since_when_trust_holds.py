"""Since when a host is known and the mode is in force; submissions are unique only while they wait."""

from typing import Any

import django.db.models.functions.text
from django.db import migrations, models


def known_since_last_seen(apps: Any, _schema: Any) -> None:
    """What is known of hosts from before: the certificate of their last attestation goes on counting."""
    apps.get_model("hgs", "DomainHost").objects.update(known_since=models.F("seen_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('hgs', '0004_clocks'),
    ]

    operations = [
        migrations.AddField(
            model_name='serviceconfiguration',
            name='mode_changed_at',
            field=models.DateTimeField(blank=True, help_text='Health certificates from before open nothing; empty while it never changed', null=True),
        ),
        migrations.AddField(
            model_name='domainhost',
            name='known_since',
            field=models.DateTimeField(help_text='When it first attested by this group, without a break since', null=True),
        ),
        migrations.RunPython(known_since_last_seen, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='domainhost',
            name='known_since',
            field=models.DateTimeField(help_text='When it first attested by this group, without a break since'),
        ),
        migrations.RemoveConstraint(
            model_name='submission',
            name='hgs_submission_once',
        ),
        migrations.AddConstraint(
            model_name='submission',
            constraint=models.UniqueConstraint(models.F('kind'), django.db.models.functions.text.Lower('name'), models.F('content_hash'), models.F('policy_version'), condition=models.Q(('state', 'pending')), name='hgs_submission_once'),
        ),
    ]
