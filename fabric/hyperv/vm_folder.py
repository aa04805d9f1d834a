"""The names in a VM's folder. Everything in it is ciphertext or public (docs/formats/vm-state.md).

<vms>/<id>/  vm.json  disk.raw  variables.fd  state.xml  vtpm/  run/ (sockets, pid files, last heartbeat)
"""

from typing import Final

RECORD: Final = "vm.json"
DISK: Final = "disk.raw"
VARIABLES: Final = "variables.fd"
STATE: Final = "state.xml"
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
