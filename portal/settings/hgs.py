"""How the Host Guardian Service writes what [MS-HGSA] leaves open, one setting for each protocol version.

``base64`` or ``array`` (of numbers) for byte strings, ``text`` (8-4-4-4-12) or ``base64`` for GUIDs. Both forms of
each are read whatever is set here.
"""

from portal.settings.environment import env

HGS_WIRE_V1_BYTES: str = env.str("HGS_WIRE_V1_BYTES", default="base64")
HGS_WIRE_V1_GUIDS: str = env.str("HGS_WIRE_V1_GUIDS", default="text")
HGS_WIRE_V2_BYTES: str = env.str("HGS_WIRE_V2_BYTES", default="base64")
HGS_WIRE_V2_GUIDS: str = env.str("HGS_WIRE_V2_GUIDS", default="text")
