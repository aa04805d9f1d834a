"""The state of an HGS as one file under a passphrase: for a backup, and for a new HGS in its place. Pure.

``container`` knows passphrases and bytes, ``form`` lines and records, ``kinds`` what a record of each kind holds,
``soundness`` what must fit together. ``docs/formats/hgs-state.md`` is the format.
"""
