"""The jobs about a VM, their steps in order, and each step's share of the whole (it is about seconds on two cores)."""

from portal.kernel.jobs import Step

CREATE_VM = "create-vm"
START_VM = "start-vm"
STOP_VM = "stop-vm"
REMOVE_VM = "remove-vm"
EXPORT_PROTECTOR = "export-protector"
REPLACE_PROTECTOR = "replace-protector"

STEPS: dict[str, tuple[Step, ...]] = {
    CREATE_VM: (
        Step("place", "Choose an attested host", 2),
        Step("fetch", "Copy the template disk to the host", 8),
        Step("release-keys", "Ask HGS to release the keys to this healthy host", 3),
        Step("open-shielding-data", "Open the shielding data inside the secure worker", 2),
        Step("seal", "Seal the disk's key into the VM's virtual TPM", 3),
        Step("verify-template", "Check every block of the template against its signed catalog, and encrypt it", 15),
        Step("specialise", "Write the VM's own settings to its disk", 3),
        Step("encrypt", "Encrypt these settings, and wait until the disk is stored", 3),
        Step("boot", "Start the VM with Secure Boot", 25),
        Step("heartbeat", "Wait for the VM's first heartbeat", 25),
    ),
    START_VM: (
        Step("release-keys", "Ask HGS to release the keys to this healthy host", 3),
        Step("boot", "Start the VM with Secure Boot", 20),
        Step("heartbeat", "Wait for the VM's first heartbeat", 20),
    ),
    STOP_VM: (Step("stop", "Shut the VM down", 1),),
    REMOVE_VM: (Step("remove", "Remove the VM's disk and keys from the host", 1),),
    EXPORT_PROTECTOR: (Step("export", "Fetch the VM's key protector from its host", 1),),
    REPLACE_PROTECTOR: (Step("replace", "Give the host the key protector that its owner changed", 1),),
}

TITLES = {
    CREATE_VM: "Create virtual machine {name}",
    START_VM: "Start virtual machine {name}",
    STOP_VM: "Stop virtual machine {name}",
    REMOVE_VM: "Remove virtual machine {name}",
    EXPORT_PROTECTOR: "Fetch the key protector of {name}",
    REPLACE_PROTECTOR: "Replace the key protector of {name}",
}
