"""What an emulated host can refuse: a closed set of errors, each with a stable code, a sentence and advice.

An error of this module is expected: a job that meets one is *failed* and shows its sentence to people. Anything else is
a bug; a job that meets one is *errored* and shows only an error id.
"""

from portal.kernel.errors import DomainError


class HostError(DomainError):
    """Something on a host that an operator can understand and mend."""


class TpmError(HostError):
    """The host's TPM does not answer, is held by another process, or refuses a command. Code `tpm-error`."""

    def __init__(self, message: str, advice: str = "Look at the host's own log and at tpm/log in its state folder."):
        super().__init__("tpm-error", message, advice)


class KerberosError(HostError):
    """The host gets no Kerberos ticket. Code `kerberos`."""

    def __init__(self, message: str, advice: str):
        super().__init__("kerberos", message, advice)


class ProfileError(HostError):
    """A host profile file that says something impossible. Code `profile-invalid`."""

    def __init__(self, message: str):
        super().__init__("profile-invalid", message, "Correct the profile file; docs/hosts.md lists what it may say.")


class StateError(HostError):
    """The host's state folder misses something or holds something damaged. Code `host-state`."""

    def __init__(self, message: str, advice: str = "Start the host once with `manage.py host NAME`."):
        super().__init__("host-state", message, advice)


class LibraryError(HostError):
    """The portal's library does not give what was asked. Codes `library-*`, `content-*` and `disk-full`."""


class AttestationFailed(HostError):  # noqa: N818 - reads as a sentence where it is raised
    """HGS, or the way to it, gave the host no health certificate. Codes are HGS's attestation states in kebab-case."""


class TaskRefused(HostError):  # noqa: N818
    """A message from the broker that is not one this host accepts. Code `task-invalid`."""

    def __init__(self, message: str):
        super().__init__("task-invalid", message, "Retry the job from the portal; if it repeats, both sides differ.")
