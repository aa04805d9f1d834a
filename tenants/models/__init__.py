"""What a tenant sees: plans, subscriptions, shielding data and virtual machines."""

from tenants.models.idempotency import IdempotencyKey
from tenants.models.key_protector import ProtectorState, VmKeyProtector
from tenants.models.plan import Plan, Subscription, SubscriptionState
from tenants.models.proven_owner import ProvenOwner
from tenants.models.shielding_data import FileUse, ShieldingData
from tenants.models.virtual_machine import Protection, VirtualMachine, VmState

__all__ = [
    "FileUse",
    "IdempotencyKey",
    "Plan",
    "Protection",
    "ProtectorState",
    "ProvenOwner",
    "ShieldingData",
    "Subscription",
    "SubscriptionState",
    "VirtualMachine",
    "VmKeyProtector",
    "VmState",
]
