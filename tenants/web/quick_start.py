"""Quick Start of the tenant portal: from nothing to a shielded VM."""

from portal.web.registry import GuideStep, Portal, QuickStart

QUICK_START = QuickStart(
    Portal.TENANT,
    "virtual-machines",
    "virtual machines",
    "Four steps to a virtual machine that whoever runs this fabric cannot look into.",
    "tenants:vms",
    (
        GuideStep(
            "Decide whom you trust",
            "The guardian of this fabric releases your VM's keys to healthy hosts. Compare its fingerprint with the "
            "HGS administrator over another way than this portal, then download it.",
            "Look at this fabric's guardian",
            "tenants:guardian",
        ),
        GuideStep(
            "Make shielding data on your own machine",
            "Download the catalog of a template disk; then write your passwords and keys into a file. They are "
            "encrypted before they leave your machine.",
            "Catalogs and commands",
            "tenants:shielding-data",
            "gf guardian new · gf pdk new",
        ),
        GuideStep(
            "Upload the file",
            "The portal keeps it and cannot open it. One file can make any number of virtual machines.",
            "Upload shielding data",
            "tenants:shielding-data-new",
        ),
        GuideStep(
            "Create the virtual machine",
            "A name, the shielding data file and a network. Its page shows each step, what protects it, and how to "
            "connect; the SSH host key it shows you is the one you put into the file.",
            "Create a shielded virtual machine",
            "tenants:vm-new",
        ),
    ),
)
