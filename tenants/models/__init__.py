"""What a tenant sees: plans, subscriptions, shielding data and virtual machines."""

from tenants.models.idempotency import IdempotencyKey
from tenants.models.key_protector import ProtectorState, VmKeyProtector
from tenants.models.plan import Plan, Subscription, SubscriptionState
from tenants.models.proven_owner import ProvenOwner
from tenants.models.shielding_data import ShieldingData, ShieldingDataKind
from tenants.models.virtual_machine import Protection, VirtualMachine, VmState

__all__ = [
    "IdempotencyKey",
    "Plan",
    "Protection",
    "ProtectorState",
    "ProvenOwner",
    "ShieldingData",
    "ShieldingDataKind",
    "Subscription",
    "SubscriptionState",
    "VirtualMachine",
    "VmKeyProtector",
    "VmState",
]
