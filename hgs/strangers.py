"""How many refusals a source may cause before it is not listened to for a while.

Every refusal is an entry of the key log, which is never shortened: without a bound anybody on the network could fill
the disk with them. Who asks too often is told to come back later, before anything is decided or logged.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

_SOURCES = 4096


@dataclass
class _Bucket:
    left: float
    at: float


@dataclass
class Allowance:
    """``burst`` refusals at once for each source, refilled with ``per_second``. Of one process; times are monotonic."""

    burst: float
    per_second: float
    _buckets: "OrderedDict[str, _Bucket]" = field(default_factory=OrderedDict, repr=False)
    _guard: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, source: str, now: float) -> bool:
        """Whether ``source`` may cause another refusal at ``now`` (seconds)."""
        with self._guard:
            bucket = self._buckets.pop(source, None) or _Bucket(self.burst, now)
            bucket.left = min(self.burst, bucket.left + (now - bucket.at) * self.per_second)
            bucket.at = now
            is_allowed = bucket.left >= 1
            bucket.left -= is_allowed
            self._buckets[source] = bucket
            if len(self._buckets) > _SOURCES:
                self._buckets.popitem(last=False)
        return is_allowed
