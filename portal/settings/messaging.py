"""Celery over Redis or Valkey: ids and public data only, JSON only."""

from typing import Any

from portal.settings.environment import ROLE, VAR_DIR, GfRole, env

REDIS_URL: str = env.str("REDIS_URL", default=f"unix://{VAR_DIR / 'valkey' / 'valkey.sock'}")

CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = "fabric"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Whoever reaches the broker could otherwise tell every worker to stop.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A message unacknowledged for longer than this goes to another worker; steps are idempotent.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600}
CELERY_TASK_TIME_LIMIT = 1800

CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"serializer": "portal.kernel.caching.JsonSerializer"},
    },
}
if ROLE is GfRole.HGS:  # HGS shares no broker with the fabric; its cache only counts wrong passwords
    CACHES["default"] = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
