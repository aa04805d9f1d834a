"""Shared by every test."""

from hypothesis import HealthCheck, settings

# A busy machine is slow, not wrong: examples have no deadline of their own.
settings.register_profile("fabric", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fabric")
