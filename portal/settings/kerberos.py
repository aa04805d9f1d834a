"""Active Directory mode: how HGS recognises hosts' Kerberos tickets, and by which account a host asks for one."""

from portal.settings.environment import env

# HGS: the keytab of its service account, a file that HGS alone reads; empty where HGS is in another mode
HGS_KEYTAB: str = env.str("HGS_KEYTAB", default="")
# The one service principal that tickets must be for, such as HTTP/hgs.example.org; empty: any in the keytab
HGS_SERVICE_PRINCIPAL: str = env.str("HGS_SERVICE_PRINCIPAL", default="")
# What tickets are bound to (channel bindings): the request (`require`), the request or nothing (`check`), or anything
# (`ignore`). Whoever a host shows a ticket to that is not bound to a request can hand it on with a key of their own.
HGS_TICKET_BINDING: str = env.str("HGS_TICKET_BINDING", default="require")

# A host: the keytab of its computer account; empty: the credentials that the environment has already
HOST_KEYTAB: str = env.str("HOST_KEYTAB", default="")
# The service principal of HGS; empty: HTTP at the name in HGS_URL
HOST_HGS_PRINCIPAL: str = env.str("HOST_HGS_PRINCIPAL", default="")
