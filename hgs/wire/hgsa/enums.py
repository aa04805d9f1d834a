"""Enumerations of MS-HGSA 2.2.1; they travel as numbers."""

from enum import IntEnum


class AttestationOperationMode(IntEnum):
    """How HGS decides; one at a time."""

    UNKNOWN = 0
    TPM = 1
    ACTIVE_DIRECTORY = 2
    HOST_KEY = 3


class AttestationProvidedContentType(IntEnum):
    """What an item of a v2 request carries."""

    VIRTUAL_SECURE_MODE_IDENTITY_KEY = 1
    RTPM_CONTEXT = 2
    HEALTH_CERTIFICATE = 3
    ENDORSEMENT_KEY_CERTIFICATE = 4
    CA_TRUSTLET_USER_DATA = 5
    CA_TRUSTLET_VSM_REPORT = 6
    CA_TRUSTLET_REPORT_SIGNATURE = 7
    HOST_KEY_PUBLIC_KEY = 8
    HOST_KEY_SIGNATURE = 9


class AttestationResultType(IntEnum):
    """Which certificate is asked for, or returned."""

    VSM_IDENTITY_ENCRYPTION_KEY_CERTIFICATE = 1
    VSM_IDENTITY_SIGNING_KEY_CERTIFICATE = 2
    VSM_CA_INTERMEDIATE_CERTIFICATE = 3


class TpmVersion(IntEnum):
    """TPM family, as a client states it."""

    UNKNOWN = 0
    TPM_12 = 1
    TPM_20 = 2


class TpmInterfaceType(IntEnum):
    """How the TPM is attached, as a client states it."""

    UNKNOWN = 0
    PORT_OR_MEMORY_IO = 1
    TRUST_ZONE = 2
    HARDWARE = 3
    EMULATOR = 4
