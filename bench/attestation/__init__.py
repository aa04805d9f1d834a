"""How fast HGS attests hosts, and what each part of it costs (``make bench-attestation``).

``boot_logs`` and ``hosts`` make the evidence, ``node`` runs HGS, ``clients`` attests over HTTP, ``parts`` measures
verification in process, ``rivals`` other programs, ``report`` prints.
"""
