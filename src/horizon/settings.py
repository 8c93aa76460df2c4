"""Settings: one frozen object, read once from horizon.toml and the environment.

The environment wins over the file. A secret may also come from a file: SMTP_PASSWORD_FILE. A
channel's own settings are a Section in the channel's folder, read in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from croniter import croniter
from msgspec import Meta

from horizon.errors import SettingsError
from horizon.section import Section, convert
from horizon.section import load_section as load_section  # of a channel's own

# The descriptions end the sentence "PORT is 'x': it should be ...".
Port = Annotated[int, Meta(ge=1, le=65535, description="a port from 1 to 65535")]
Days = Annotated[float, Meta(gt=0, le=36500, description="a number of days above 0, like 14")]
Share = Annotated[float, Meta(ge=0, le=1, description="a number from 0 to 1, like 0.7")]
Seconds = Annotated[float, Meta(gt=0, le=86400, description="a number of seconds above 0, like 30")]
Bytes = Annotated[
    int, Meta(ge=1_000, description="a whole number of bytes, at least 1000, like 1000000")
]
# No control characters: a line break in MAIL_FROM or BRAND would be a mail header of its own.
Text = Annotated[
    str, Meta(pattern=r"\A[^\x00-\x1f\x7f\ud800-\udfff]*\Z", description="text on one line")
]
Named = Annotated[Text, Meta(min_length=1, description="text on one line, and not empty")]
# A kind of identifier, and where its value stands in an event.
_KIND = r"[a-z][a-z0-9_.]{0,62}"
_FOUND = rf"{_KIND}=(traits|properties|context)(\.[^.,=\s]+)+"
Identifiers = Annotated[
    str,
    Meta(
        pattern=rf"\A\s*({_FOUND}\s*(,\s*{_FOUND}\s*)*)?\Z",
        description="a list like loyalty_card=traits.loyaltyCard, crm_id=context.crm.id",
    ),
]
KindNames = Annotated[
    str,
    Meta(
        pattern=rf"\A\s*({_KIND}\s*(,\s*{_KIND}\s*)*)?\Z",
        description="a list of kinds of identifiers, like user_id, crm_id",
    ),
]
Sender = Annotated[
    str,
    Meta(
        pattern=r"\A([^<>\x00-\x1f]*<[^<>@\s]+@[^<>@\s]+>|[^<>@\s,]+@[^<>@\s,]+)\Z",
        description="an address, like Horizon <hello@horizon.example>",
    ),
]

SECRETS = (
    "PG_DSN", "SMTP_PASSWORD", "MAILGUN_API_KEY", "MAILGUN_SIGNING_KEY", "ES_URL",
    "ES_API_KEY", "ES_PASSWORD", "LINEAGE_API_KEY", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY",
)  # fmt: skip
PATHS = ("HORIZON_HOME", "LOG_PATH")
PORTS = ("COLLECTOR_PORT", "API_PORT", "CONSOLE_PORT", "CATCHER_SMTP_PORT", "CATCHER_PAGE_PORT")
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
URLS = ("PUBLIC_URL", "TRACKING_URL", "CONSOLE_URL", "SHOP_URL", "ES_URL", "S3_ENDPOINT")

_PLACE = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


class Settings(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Every setting by the name its user types; units stand in the names where they need one."""

    secrets = SECRETS
    addresses = ("ES_URL",)

    PG_DSN: Text | None = None  # none: the embedded PostgreSQL in HORIZON_HOME
    HORIZON_HOME: Named = "./.horizon"
    DISK_LEAST_FREE: Share = 0.05  # of the embedded database's disk; with less no event is taken
    LISTEN_HOST: Named = "127.0.0.1"
    PUBLIC_URL: Text = ""  # empty: http://LISTEN_HOST:COLLECTOR_PORT
    TRACKING_URL: Text = ""  # empty: PUBLIC_URL
    COLLECTOR_PORT: Port = 8100
    COLLECTOR_PROCESSES: Annotated[
        int, Meta(ge=1, le=64, description="a whole number from 1 to 64")
    ] = 2
    API_PORT: Port = 8200
    CONSOLE_PORT: Port = 8000
    CONSOLE_URL: Text = ""  # empty: http://localhost:CONSOLE_PORT
    CATCHER_SMTP_PORT: Port = 1025
    CATCHER_PAGE_PORT: Port = 8025
    METRICS_HOST: Named = "127.0.0.1"
    METRICS_PORT: Port = 9464
    IDENTIFIERS: Identifiers = ""  # kinds of one's own: loyalty_card=traits.loyaltyCard
    VERIFIED_ONLY: KindNames = ""  # kinds that a browser only claims, but for a signed token
    PHONE_REGION: Annotated[
        str, Meta(pattern=r"^([A-Z]{2})?$", description="a country's two letters, like DE")
    ] = ""  # of phone numbers that do not begin with +

    WINDOW_DAYS: Days = 14
    SCORE_HIGH: Share = 0.7
    SCORE_MEDIUM: Share = 0.5
    ALERT_THRESHOLD: Share = 0.7
    COOLDOWN_DAYS: Days = 7
    OPT_INS_PER_HOUR: Annotated[
        int, Meta(ge=1, le=10_000_000, description="a whole number from 1 on, like 1000")
    ] = 1000  # mails that ask to confirm, of the whole installation
    REJECTED_DAYS: Annotated[
        int, Meta(ge=1, le=3650, description="a whole number of days from 1 to 3650")
    ] = 30
    IDS_DAYS: Annotated[
        int, Meta(ge=30, le=3650, description="a whole number of days from 30 to 3650")
    ] = 30
    HOT_DAYS: (
        Annotated[int, Meta(ge=2, le=3650, description="a whole number of days from 2 to 3650")]
        | None
    ) = None  # of events in PostgreSQL; none: all, also when the lake has them
    PIPELINE_CRON: Named = "* * * * *"  # when the worker runs the stages: every minute

    SMTP_HOST: Text | None = None  # none: the local mail catcher
    SMTP_PORT: Port | None = None  # none: 587, or the catcher's
    SMTP_USER: Text | None = None
    SMTP_PASSWORD: Text | None = None
    SMTP_CONNECTIONS: Annotated[
        int, Meta(ge=1, le=50, description="a whole number from 1 to 50")
    ] = 4
    SMTP_DOMAIN_LIMITS: Text = ""  # gmail.com=20/s:2, *=100/s: a rate, connections, or both
    SMTP_TIMEOUT_S: Seconds = 30
    SEND_LEASE_S: Seconds = 120
    DNS_LOOKUPS: Literal["on", "off"] | None = None  # none: on where mails leave this machine
    DNS_SERVERS: Text = ""  # 192.0.2.53, 192.0.2.54:5353; empty: the system's
    MAIL_FROM: Sender = "Horizon <hello@horizon.example>"
    BRAND: Named = "Horizon Outfitters"
    POSTAL_ADDRESS: Text = "1 Example Street, 12345 Example City"
    SHOP_URL: Text = "https://shop.horizon.example/"
    MAILGUN_API_KEY: Text | None = None
    MAILGUN_DOMAIN: Text | None = None
    MAILGUN_SIGNING_KEY: Text | None = None

    OUTBOUND_ALLOW: Text = ""  # what webhooks may reach that is private or has no TLS
    FORWARD_TIMEOUT_S: Seconds = 20  # for one batch's answer

    ES_URL: Text | None = None  # none: the log is not shipped
    ES_INDEX: Annotated[
        str,
        Meta(
            pattern=r"\A[a-z0-9][a-z0-9_.-]{0,199}\Z",
            description="an index's name, in small letters, like cdp_events",
        ),
    ] = "cdp_events"
    ES_API_KEY: Text | None = None
    ES_USER: Text | None = None
    ES_PASSWORD: Text | None = None
    ES_CA: Text | None = None  # none: the system's authorities
    ES_DATA_STREAM: Literal["on", "off"] = "off"
    LOG_PATH: Named = "logs/cdp_events.log"
    LOG_MAX_BYTES: Annotated[
        int, Meta(ge=1_000_000, description="a whole number of bytes, at least 1000000")
    ] = 50_000_000
    LOG_KEEP: Annotated[int, Meta(ge=1, le=1000, description="a whole number from 1 to 1000")] = 10
    LINEAGE_TO: Named = "off"  # console, file:PATH, or a server of OpenLineage by its address
    LINEAGE_API_KEY: Text | None = None
    LINEAGE_NAMESPACE: Named = "horizon"
    FILE_LINE_BYTES: Bytes = 1_048_576  # a longer line is rejected
    FILE_ROW_GROUP_BYTES: Bytes = 4_294_967_296  # of Parquet, unpacked
    FILE_UNPACKED_BYTES: Bytes = 1_000_000_000_000
    FILE_UNPACKED_RATIO: Annotated[
        int, Meta(ge=2, le=1_000_000, description="a whole number from 2 to 1000000")
    ] = 500
    S3_ENDPOINT: Text | None = None  # none: Amazon's
    S3_REGION: Text | None = None
    S3_ACCESS_KEY_ID: Text | None = None  # none: AWS_*, or what AWS finds by itself
    S3_SECRET_ACCESS_KEY: Text | None = None
    LAKE_URL: Text | None = None
    ENGINE: Literal["duckdb", "spark"] = "duckdb"
    ENGINE_MEMORY_BYTES: Annotated[
        int, Meta(ge=50_000_000, description="a whole number of bytes, at least 50000000")
    ] = 1_000_000_000  # of a query; what does not fit goes to ENGINE_SPILL
    ENGINE_SPILL: Text = ""  # a folder; empty: spill in HORIZON_HOME
    SPARK_MASTER: Named = "local[*]"  # spark://HOST:7077, k8s://https://HOST:6443
    SPARK_PROPERTIES: Text = ""  # a file of Spark's own form; empty: what Spark finds by itself

    @property
    def home(self) -> Path:
        return Path(self.HORIZON_HOME).expanduser().absolute()

    @property
    def spill_folder(self) -> Path:
        return Path(self.ENGINE_SPILL).absolute() if self.ENGINE_SPILL else self.home / "spill"

    @property
    def log_path(self) -> Path:
        return Path(self.LOG_PATH).expanduser().absolute()

    @property
    def public_url(self) -> str:
        return (self.PUBLIC_URL or f"http://{self.LISTEN_HOST}:{self.COLLECTOR_PORT}").rstrip("/")

    @property
    def console_url(self) -> str:
        """A passkey needs a name: an address like 127.0.0.1 has none."""
        host = "localhost" if self.LISTEN_HOST in LOOPBACK else self.LISTEN_HOST
        return (self.CONSOLE_URL or f"http://{host}:{self.CONSOLE_PORT}").rstrip("/")

    @property
    def tracking_url(self) -> str:
        return (self.TRACKING_URL or self.public_url).rstrip("/")

    @property
    def smtp_address(self) -> tuple[str, int]:
        """Host and port of the mail server: the local catcher where none is named."""
        if self.SMTP_HOST:
            return self.SMTP_HOST, self.SMTP_PORT or 587
        return "127.0.0.1", self.CATCHER_SMTP_PORT

    @property
    def mails_leave(self) -> bool:
        """Whether the mail server is another machine's."""
        return self.SMTP_HOST is not None and self.SMTP_HOST not in LOOPBACK

    @property
    def dns_lookups(self) -> bool:
        """A laptop's demo asks nobody."""
        return self.DNS_LOOKUPS == "on" or (self.DNS_LOOKUPS is None and self.mails_leave)

    @property
    def outbound_allow(self) -> list[str]:
        return self.OUTBOUND_ALLOW.replace(",", " ").split()

    @property
    def lineage_place(self) -> str:
        """LINEAGE_TO as it is shown: of a server no path and no query, which may hold a key; of a
        file the whole path."""
        if self.LINEAGE_TO.startswith("file:"):
            return f"file:{Path(self.LINEAGE_TO.removeprefix('file:')).expanduser().absolute()}"
        if not _is_url(self.LINEAGE_TO):
            return self.LINEAGE_TO
        parts = urlsplit(self.LINEAGE_TO)
        return f"{parts.scheme}://{parts.netloc}"

    def changed(self, **values: object) -> Settings:
        return convert(Settings, {**msgspec.structs.asdict(self), **values})

    @classmethod
    def wanted_instead(cls, name: str, value: Any) -> str | None:
        if name == "S3_ENDPOINT" and value and ("@" in value or not _is_url(value)):
            return (
                "the address of an S3 server with its scheme and without who asks, like "
                "https://minio.example:9000"
            )
        if name in URLS and value and not _is_url(value):
            return "an address, like https://example.com"
        if name in PATHS and not _is_path(value):
            return "a path, and the user after ~ has to exist"
        if name == "PIPELINE_CRON" and not croniter.is_valid(value):
            return "five fields of cron, like */5 * * * *"
        if name == "LINEAGE_TO" and not _is_lineage_target(value):
            return "off, console, file:PATH, or an address like http://127.0.0.1:5000"
        if name == "OUTBOUND_ALLOW" and not all(map(_is_place, value.replace(",", " ").split())):
            return "a list like 127.0.0.1:9000, hooks.internal:443, 10.1.0.0/16"
        return None

    def check(self) -> None:
        if self.SCORE_MEDIUM > self.SCORE_HIGH:
            raise SettingsError(
                "SCORE_MEDIUM is above SCORE_HIGH: set SCORE_MEDIUM to at most SCORE_HIGH."
            )
        for name in PORTS:
            if getattr(self, name) == self.METRICS_PORT:
                raise SettingsError(
                    f"METRICS_PORT and {name} are both {self.METRICS_PORT}: give each its own port."
                )
        if bool(self.S3_ACCESS_KEY_ID) != bool(self.S3_SECRET_ACCESS_KEY):
            raise SettingsError(
                "Of S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY one is missing: set both, or none."
            )


def load(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Read the settings; raise SettingsError with the setting's name and what it should be."""
    return load_section(Settings, environ, folder)


def _is_place(item: str) -> bool:
    """``host:port``, an address or a network."""
    place = _PLACE.fullmatch(item)
    if place is not None:
        return 0 < int(place[2]) <= 65535
    try:
        ip_network(item)
    except ValueError:
        return False
    return True


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an address, a port that is no number
        return False


def _is_lineage_target(text: str) -> bool:
    if text.startswith("file:"):
        return len(text) > len("file:") and _is_path(text.removeprefix("file:"))
    return text in {"off", "console"} or (_is_url(text) and "@" not in urlsplit(text).netloc)


def _is_path(text: str) -> bool:
    try:
        Path(text).expanduser()
    except RuntimeError:
        return False
    return True
