"""What the fabric's database knows: hosts, template disks, networks, placements and what was submitted to HGS.

Nothing here is secret: files in the library are ciphertext or public, tokens are stored as keyed hashes.
"""

from fabric.models.guardian import GuardianInForce
from fabric.models.host import AttestationMode, AttestationState, Host, HostAttestation, HostState
from fabric.models.library import BlobKind, LibraryBlob
from fabric.models.network import Network
from fabric.models.outbox import OutgoingMessage
from fabric.models.placement import Assignment, Placement, PowerState
from fabric.models.signing import SigningState, TemplateSigning, UnsignedDisk
from fabric.models.submission import Submission, SubmissionKind, SubmissionState
from fabric.models.template_disk import TemplateDisk, TemplateState
from fabric.models.upload import Upload

__all__ = [
    "Assignment",
    "AttestationMode",
    "AttestationState",
    "BlobKind",
    "GuardianInForce",
    "Host",
    "HostAttestation",
    "HostState",
    "LibraryBlob",
    "Network",
    "OutgoingMessage",
    "Placement",
    "PowerState",
    "SigningState",
    "Submission",
    "SubmissionKind",
    "SubmissionState",
    "TemplateDisk",
    "TemplateSigning",
    "TemplateState",
    "UnsignedDisk",
    "Upload",
]
