"""How fast disks are hashed and virtual machines made from them, beside the tools one would take instead."""
