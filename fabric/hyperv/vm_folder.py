"""The names in a VM's folder. Everything in it is ciphertext or public (docs/formats/vm-state.md).

<vms>/<id>/  vm.json  disk.raw  variables.fd  state.xml  vtpm/  run/ (sockets, pid files, last heartbeat)
             previous-protector.xml (after the owner replaced the protector)
             offline-key.xml (while HGS permits starts without it)
             recovery-key.xml (if the owner's shielding data asks for it)
"""

from typing import Final

RECORD: Final = "vm.json"
DISK: Final = "disk.raw"
OFFLINE_KEY: Final = "offline-key.xml"
RECOVERY_KEY: Final = "recovery-key.xml"
VARIABLES: Final = "variables.fd"
STATE: Final = "state.xml"
PREVIOUS_PROTECTOR: Final = "previous-protector.xml"
VTPM: Final = "vtpm"
RUN: Final = "run"

TPM_SOCKET: Final = "tpm"
TPM_PID: Final = "tpm.pid"
QEMU_PID: Final = "qemu.pid"
QEMU_LOG: Final = "qemu.log"
QMP_SOCKET: Final = "qmp"
HEARTBEAT_SOCKET: Final = "beat"
CONTROL_SOCKET: Final = "ctl"
LAST_BEAT: Final = "heartbeat.json"
DRY: Final = "dry.json"
