"""Moving a tenant's VMs and shielding data to another guardian, offline: the files that go out and come back, and what
the owner does with them. Pure: no Django, no clock, no network; randomness is an argument.
"""
