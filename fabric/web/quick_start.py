"""Quick Start of the fabric console: from an empty machine to a host that HGS trusts."""

from portal.web.registry import GuideStep, Portal, QuickStart

QUICK_START = QuickStart(
    Portal.FABRIC,
    "hosts",
    "hosts",
    "Four steps to a host that the Host Guardian Service gives keys to.",
    "fabric:hosts",
    (
        GuideStep(
            "Register the host",
            "Give it a name and the address at which tenants reach its VMs. Its token is shown once: put it into the "
            "host's settings and start its agent.",
            "Register a host",
            "fabric:host-new",
        ),
        GuideStep(
            "Submit what HGS must know of it",
            "Its identity (the endorsement key of its TPM); and, once for each kind of host, a hardware baseline and a "
            "CI policy taken from one you trust.",
            command="gf host identity · gf host baseline · gf host ci-policy · gf host submit",
        ),
        GuideStep(
            "Have an HGS administrator approve it",
            "That should be another person: the fabric can only ask. Until then HGS refuses the host.",
        ),
        GuideStep(
            "Let it attest",
            "Choose it in the list and press Attest. Its page shows every check; with all of them passed it gets a "
            "health certificate, and VMs can be placed on it.",
            "Hosts",
            "fabric:hosts",
        ),
    ),
)
