"""The Host Guardian Service's own settings: what [MS-HGSA] leaves open, and keys in tokens.

How the service writes, one setting for each protocol version: ``base64`` or ``array`` (of numbers) for byte strings,
``text`` (8-4-4-4-12) or ``base64`` for GUIDs. Both forms of each are read whatever is set here.
"""

from portal.settings.environment import env, secret

HGS_WIRE_V1_BYTES: str = env.str("HGS_WIRE_V1_BYTES", default="base64")
HGS_WIRE_V1_GUIDS: str = env.str("HGS_WIRE_V1_GUIDS", default="text")
HGS_WIRE_V2_BYTES: str = env.str("HGS_WIRE_V2_BYTES", default="base64")
HGS_WIRE_V2_GUIDS: str = env.str("HGS_WIRE_V2_GUIDS", default="text")

# Where guardian keys may stay in a token: the path of its PKCS #11 module, and the PIN of its user
HGS_PKCS11_MODULE: str = env.str("HGS_PKCS11_MODULE", default="")
HGS_PKCS11_PIN: str = secret("HGS_PKCS11_PIN")
