"""Django's settings, made from Horizon's own: there is no second configuration."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings as django_settings
from psycopg.conninfo import conninfo_to_dict

from horizon import keys
from horizon.postgres.database import Database, Role
from horizon.settings import LOOPBACK, Settings

HERE = Path(__file__).parent
OWNER = "owner"  # the connection that Django's migrations run on
SEARCH_PATH = "-c search_path=console,public"
SIGN_IN_S = 12 * 3600
FRESH_S = 10 * 60  # since the password or the second factor was given, for what asks it again

APPS = [
    "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions",
    "django.contrib.messages", "django.contrib.staticfiles", "django.forms", "django_htmx",
    "horizon.console", "allauth", "allauth.account", "allauth.mfa", "allauth.usersessions",
]  # fmt: skip
MIDDLEWARE = [
    "horizon.console.headers.headers",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "horizon.console.access.Undecided",
]


def setup(settings: Settings, database: Database) -> None:
    """Once a process, before anything that imports a model. Raises HorizonError without a key."""
    key = keys.read(settings.home, "CONSOLE_KEY")
    django_settings.configure(
        SECRET_KEY=hashlib.blake2b(b"django", key=key).hexdigest(),
        HORIZON=settings,
        **_place(settings), **_database(database), **_pages(settings), **_sign_in(),
    )  # fmt: skip
    django.setup(set_prefix=False)


def _place(settings: Settings) -> dict[str, Any]:
    """Where it is served, and what follows for hosts and cookies."""
    url = urlsplit(settings.console_url)
    named = url.hostname or "localhost"
    own = [f"[{named}]" if ":" in named else named]
    local = named in LOOPBACK
    # Plain HTTP is for this machine alone. From elsewhere a browser keeps no Secure cookie without
    # TLS, and so nobody signs in over a wire that others read.
    secure = url.scheme == "https" or not local
    prefix = "__Host-" if secure else ""
    return {
        "DEBUG": False, "USE_TZ": True, "TIME_ZONE": "UTC", "ROOT_URLCONF": "horizon.console.urls",
        "ALLOWED_HOSTS": [*own, *(["localhost", "127.0.0.1", "[::1]"] if local else [])],
        "CSRF_TRUSTED_ORIGINS": [f"{url.scheme}://{url.netloc}"],
        "SESSION_COOKIE_NAME": f"{prefix}horizon_session", "SESSION_COOKIE_SECURE": secure,
        "SESSION_COOKIE_HTTPONLY": True, "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_COOKIE_AGE": SIGN_IN_S, "CSRF_COOKIE_NAME": f"{prefix}horizon_csrf",
        "CSRF_COOKIE_SECURE": secure, "CSRF_COOKIE_HTTPONLY": True, "CSRF_COOKIE_SAMESITE": "Lax",
        "CSRF_FAILURE_VIEW": "horizon.console.views.refusals.stale",
        "LANGUAGE_COOKIE_NAME": "horizon_language", "LANGUAGE_COOKIE_SECURE": secure,
        "LANGUAGE_COOKIE_HTTPONLY": True, "LANGUAGE_COOKIE_SAMESITE": "Lax",
        "LANGUAGE_COOKIE_AGE": 365 * 86400,
        # http://localhost, which browsers trust with passkeys as they do TLS, and nothing else.
        "MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN": not secure,
        "SECURE_HSTS_SECONDS": 365 * 86400 if url.scheme == "https" else 0,
        "SECURE_REFERRER_POLICY": "same-origin", "X_FRAME_OPTIONS": "DENY",
        "DATA_UPLOAD_MAX_MEMORY_SIZE": 1_000_000, "DATA_UPLOAD_MAX_NUMBER_FIELDS": 500,
    }  # fmt: skip


def _database(database: Database) -> dict[str, Any]:
    def connection(role: Role) -> dict[str, Any]:
        values = conninfo_to_dict(database.conninfo(role, SEARCH_PATH))
        return {
            "ENGINE": "django.db.backends.postgresql", "NAME": values.pop("dbname", ""),
            "OPTIONS": values, "ATOMIC_REQUESTS": True, "CONN_MAX_AGE": 300,
            "CONN_HEALTH_CHECKS": True,
        }  # fmt: skip

    return {
        "DATABASES": {"default": connection(Role.CONSOLE), OWNER: connection(Role.OWNER)},
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        # One process serves the console, so what sign-ins are counted with may lie in its memory.
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    }


def static_folder(settings: Settings) -> Path:
    return settings.home / "console" / "static"


def _pages(settings: Settings) -> dict[str, Any]:
    return {
        "INSTALLED_APPS": APPS, "MIDDLEWARE": MIDDLEWARE,
        "TEMPLATES": [_templates()],
        "STATIC_URL": "/static/", "STATIC_ROOT": static_folder(settings),
        "STORAGES": {"staticfiles": {
            "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"}},
        "LANGUAGE_CODE": "en", "LANGUAGES": [("en", "English"), ("de", "Deutsch")],
        "LOCALE_PATHS": [HERE / "locale"],
        "LOGGING_CONFIG": "horizon.console.noting.configure", "LOGGING": {},
    }  # fmt: skip


def _templates() -> dict[str, Any]:
    loaders = "django.template.loaders"
    processors = "django.template.context_processors"
    return {
        "BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [HERE / "templates"],
        "OPTIONS": {
            "loaders": [(f"{loaders}.cached.Loader", [
                f"{loaders}.filesystem.Loader", f"{loaders}.app_directories.Loader",
            ])],
            "context_processors": [
                f"{processors}.request", f"{processors}.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "horizon.console.navigation.navigation",
            ],
        },
    }  # fmt: skip


def _sign_in() -> dict[str, Any]:
    passwords = "django.contrib.auth.password_validation"
    return {
        "AUTH_USER_MODEL": "console.Person",
        "AUTHENTICATION_BACKENDS": ["allauth.account.auth_backends.AuthenticationBackend"],
        "PASSWORD_HASHERS": ["django.contrib.auth.hashers.Argon2PasswordHasher"],
        "AUTH_PASSWORD_VALIDATORS": [
            {"NAME": f"{passwords}.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
            {"NAME": f"{passwords}.CommonPasswordValidator"},
            {"NAME": f"{passwords}.UserAttributeSimilarityValidator",
             "OPTIONS": {"user_attributes": ("email", "name")}},
        ],
        "LOGIN_URL": "account_login", "LOGIN_REDIRECT_URL": "home",
        "ACCOUNT_ADAPTER": "horizon.console.adapters.Accounts",
        "ACCOUNT_LOGIN_METHODS": {"email"}, "ACCOUNT_USER_MODEL_USERNAME_FIELD": None,
        "ACCOUNT_SIGNUP_FIELDS": ["email*", "password1*"], "ACCOUNT_EMAIL_VERIFICATION": "none",
        "ACCOUNT_SESSION_REMEMBER": True, "ACCOUNT_LOGOUT_REDIRECT_URL": "account_login",
        "ACCOUNT_REAUTHENTICATION_TIMEOUT": FRESH_S, "ACCOUNT_REAUTHENTICATION_REQUIRED": True,
        "ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE": True,
        "ACCOUNT_RATE_LIMITS": {
            "login": "30/m/ip", "login_failed": "20/5m/ip,5/5m/key", "reauthenticate": "10/m/user",
            "change_password": "5/m/user",
        },
        "MFA_ADAPTER": "horizon.console.adapters.Factors",
        "MFA_SUPPORTED_TYPES": ["totp", "webauthn", "recovery_codes"],
        "MFA_PASSKEY_LOGIN_ENABLED": True, "MFA_ALLOW_UNVERIFIED_EMAIL": True,
        "MFA_TOTP_ISSUER": "Horizon", "MFA_TOTP_TOLERANCE": 1,
        "MFA_RECOVERY_CODES_SHOW_ONCE": True,
    }  # fmt: skip
