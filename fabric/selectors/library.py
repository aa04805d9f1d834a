"""Who needs which library file."""

from django.db.models import Q

from fabric.models import Host, Placement


def needed_by(host: Host, sha256: str) -> bool:
    """Whether a VM placed on this host is made from this file."""
    return Placement.objects.filter(
        Q(template__disk_id=sha256) | Q(template__catalog_id=sha256) | Q(shielding_data_id=sha256), host=host
    ).exists()
