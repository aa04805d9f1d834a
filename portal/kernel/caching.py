"""What goes into the shared cache and comes out of it: JSON, nothing else.

The cache lives on the broker, to which every host of the fabric can write. Django's own serializer is pickle, which
runs whatever code it finds, so one host could take over the portal by leaving a value there.
"""

import json
from typing import Any


class JsonSerializer:
    """For `CACHES["default"]["OPTIONS"]["serializer"]`; whole numbers stay such that the broker can count them up."""

    def dumps(self, value: Any) -> bytes:
        """Raises `TypeError` for what JSON cannot say."""
        return json.dumps(value).encode()

    def loads(self, data: bytes) -> Any:
        """Raises `ValueError` for what is not JSON."""
        return json.loads(data)
