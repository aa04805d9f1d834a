"""Keys, cookies, headers and passwords."""

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from portal.settings.environment import DEBUG, ROLE, GfRole, env, secret

SECRET_KEY: str = secret("SECRET_KEY")
if not SECRET_KEY:
    if ROLE in (GfRole.HOST, GfRole.ALL) or DEBUG:
        SECRET_KEY = "no-sessions-here"  # noqa: S105 - a host serves no pages and signs nothing
    else:
        raise ImproperlyConfigured("SECRET_KEY or SECRET_KEY_FILE must be set (any long random text)")
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])

# Numbered peppers for API and host tokens, newest first: "2:secret,1:older".
TOKEN_PEPPERS: list[str] = [item for item in secret("TOKEN_PEPPERS").split(",") if item]

ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])

# Behind HTTPS (say so with HTTPS=true) cookies are for HTTPS alone.
HTTPS: bool = env.bool("HTTPS", default=False)
SESSION_COOKIE_NAME = f"gf_{ROLE.value}_session"
SESSION_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 8 * 3600
CSRF_COOKIE_NAME = f"gf_{ROLE.value}_csrf"
CSRF_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31536000 if HTTPS else 0
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None
X_FRAME_OPTIONS = "DENY"
if ROLE is GfRole.HGS:
    CSRF_FAILURE_VIEW = "hgs.web.errors.csrf_failure"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
