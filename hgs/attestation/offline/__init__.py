"""Evidence in files, read without a service: somebody's boot log, quote or certificate, as tools and firmware write it.

The parsers of :mod:`hgs.attestation` decide about hosts and are strict. What is here explains files to people: it
takes what real firmware and capture tools produce, says in a warning what is out of order, and never guesses silently.
Nothing here judges a host.
"""
