"""Applications, middleware, templates and static files of each role."""

from portal.settings.environment import BASE_DIR, ROLE, GfRole, env

IS_PORTAL = ROLE in (GfRole.PORTAL, GfRole.ALL)
IS_HGS = ROLE in (GfRole.HGS, GfRole.ALL)
IS_HOST = ROLE in (GfRole.HOST, GfRole.ALL)
HAS_PAGES = IS_PORTAL or IS_HGS

_PAGES = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "portal.kernel",
    "portal.accounts",
]
_PORTAL = [
    "django_htmx",
    "django_filters",
    "django_tables2",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "portal.web",
    "portal.api",
    "fabric",
    "tenants",
]

INSTALLED_APPS: list[str] = [
    *(_PAGES if HAS_PAGES else []),
    *(_PORTAL if IS_PORTAL else []),
    *(["hgs"] if IS_HGS else []),
    *(["fabric.hyperv"] if IS_HOST else []),
]

MIDDLEWARE: list[str] = []
if HAS_PAGES:
    MIDDLEWARE = [
        "django.middleware.security.SecurityMiddleware",
        *(["hgs.api.protocols.ProtocolsFirst"] if IS_HGS else []),
        "whitenoise.middleware.WhiteNoiseMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.common.CommonMiddleware",
        "portal.accounts.body_limits.BodyLimits",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "csp.middleware.CSPMiddleware",
        *(["django_htmx.middleware.HtmxMiddleware", "portal.web.middleware.ShellMiddleware"] if IS_PORTAL else []),
    ]

ROOT_URLCONF = {GfRole.HGS: "hgs.urls", GfRole.HOST: "fabric.hyperv.urls"}.get(ROLE, "portal.urls")
WSGI_APPLICATION = "portal.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                *(["portal.web.context.shell"] if IS_PORTAL else []),
            ]
        },
    }
]

AUTH_USER_MODEL = "accounts.User"
LOGIN_URL = "hgs:sign-in" if ROLE is GfRole.HGS else "accounts:sign-in"
LOGIN_REDIRECT_URL = "/"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Files are served from where they lie; name a folder to serve what collectstatic gathered there instead.
STATIC_ROOT = env.str("STATIC_ROOT", default="") or None
WHITENOISE_USE_FINDERS = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "portal.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_PAGINATION_CLASS": "portal.api.pagination.PageNumbers",
    "EXCEPTION_HANDLER": "portal.api.problems.problem_response",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "PAGE_SIZE": 50,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Open Guarded Fabric",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}
DJANGO_TABLES2_TEMPLATE = "web/table.html"
