"""Typed settings, one module per concern, all from the environment.

`GF_ROLE` says which product a process is: `portal` (web, control-plane workers, beat), `hgs` (the Host Guardian Service
with a database of its own) or `host` (an emulated Hyper-V host, without any database).
"""

from portal.settings.application import *
from portal.settings.databases import *
from portal.settings.environment import *
from portal.settings.fabric import *
from portal.settings.hgs import *
from portal.settings.kerberos import *
from portal.settings.logs import *
from portal.settings.messaging import *
from portal.settings.security import *
