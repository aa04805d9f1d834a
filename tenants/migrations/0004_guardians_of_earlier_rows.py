"""Reads again, from the files themselves, whom shielding data of earlier versions names; their VMs name the same."""

from django.db import migrations


def read_again(apps, schema_editor):
    from fabric.models.library import library_path
    from fabric.shielding.errors import ShieldingError
    from fabric.shielding.pdk import parse_pdk
    from tenants.pdk_file import guardians_of, joined_pairs

    VirtualMachine = apps.get_model("tenants", "VirtualMachine")
    for data in apps.get_model("tenants", "ShieldingData").objects.all():
        try:
            guardians = guardians_of(parse_pdk(library_path(data.blob_id).read_bytes()).protector)
        except (OSError, ShieldingError):
            continue  # what cannot be read names nobody we know: it counts as outdated, and its page shows what it has
        data.guardians, data.guardian_pairs = guardians, joined_pairs(guardians)
        data.save(update_fields=["guardians", "guardian_pairs"])
        VirtualMachine.objects.filter(shielding_data=data).update(
            guardians=guardians, guardian_pairs=data.guardian_pairs
        )


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_rollover"), ("fabric", "0005_guardian_in_force")]

    operations = [migrations.RunPython(read_again, migrations.RunPython.noop)]
