"""Pure: the account of keys as a public, append-only log: its tree, its tiles, its checkpoints, its entries.

RFC 6962 hashing, C2SP tlog-tiles, tlog-checkpoint and signed-note, and the bundle by which an owner checks offline that
nothing of his was left out. docs/formats/key-log.md is the grammar.
"""
