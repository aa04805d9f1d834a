"""Where the files of shielding data go in a Linux guest."""

from fabric.hyperv.secure_worker.specialisation import specialised_files
from fabric.hyperv.spec import VmSpec
from fabric.shielding.content import ShieldingSecrets
from hgs.keyprotection.secret import Secret


def test_files_with_a_role_lie_beside_the_answer_file_and_others_apart(spec: VmSpec) -> None:
    names = ("ssh_host_ed25519_key", "authorized_keys", "configuration-script", "app.conf")
    names += ("rdp_certificate.pfx", "rdp_certificate.password")
    secrets = ShieldingSecrets(Secret(b'GF_COMPUTER_NAME="web"\n'), {name: Secret(name.encode()) for name in names})
    files = specialised_files(secrets, spec)
    assert files["/etc/guarded/configuration-script"] == Secret(b"configuration-script")
    assert set(files) == {
        "/etc/guarded/unattend.env",
        "/etc/guarded/files/app.conf",
        *(f"/etc/guarded/{name}" for name in names if name != "app.conf"),
    }
