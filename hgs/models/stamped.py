"""Rows that attestation goes by, and the stamp that every change of them renews.

Nodes keep what they parsed of these rows (policies, baselines, certificates, keys) for as long as the stamp in the
service's configuration stays the same. The stamp is renewed in the transaction of the change itself, so that no node
answers by what was before once the change is visible. It is random: an older database, restored, never shares a stamp
with what another state of it had.
"""

from collections.abc import Iterable
from typing import Any, TypeVar

from django.db import models, transaction

from hgs.models.configuration import ServiceConfiguration
from portal.kernel.ids import new_id

_M = TypeVar("_M", bound=models.Model)


def renew_stamp() -> None:
    """Let every node read anew what attestation goes by; in the caller's transaction."""
    ServiceConfiguration.objects.update(trust_stamp=new_id())


class StampedQuerySet(models.QuerySet[_M]):
    """A query set whose changes renew the stamp."""

    def update(self, **kwargs: Any) -> int:
        """As always, with the stamp renewed where anything changed."""
        with transaction.atomic(using=self.db):
            changed = super().update(**kwargs)
            if changed:
                renew_stamp()
        return changed

    update.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """As always, with the stamp renewed."""
        with transaction.atomic(using=self.db):
            deleted = super().delete()
            renew_stamp()
        return deleted

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[_M], *args: Any, **kwargs: Any) -> list[_M]:
        """As always, with the stamp renewed."""
        with transaction.atomic(using=self.db):
            created = super().bulk_create(objs, *args, **kwargs)
            renew_stamp()
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]


class Stamped(models.Model):
    """A row that attestation goes by."""

    objects = StampedQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and let every node read anew."""
        with transaction.atomic():
            super().save(*args, **kwargs)
            renew_stamp()

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete, and let every node read anew."""
        with transaction.atomic():
            deleted = super().delete(*args, **kwargs)
            renew_stamp()
        return deleted
