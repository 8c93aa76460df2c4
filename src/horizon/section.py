"""One section of the settings: read from horizon.toml and the environment, checked one by one."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from horizon.errors import SettingsError

HIDDEN = "not what it should be"  # of a secret

# A channel's settings begin with its folder's name, and the channel itself checks them. The ground
# knows of channels no more than that there is a folder.
CHANNELS = Path(__file__).parent / "delivery" / "channels"

# Who asks, before an @, as in //USER:PASSWORD@HOST. A mail's address has neither // nor a colon
# before it, nor a port after it, and is shown.
_WHO_ASKS = re.compile(
    r"(//.*|[^\s,/:]*:(?!//)[^\s,]*|((?!//)[^\s,])+(?=@[^\s,@]+:\d))@", re.DOTALL
)
_QUERY = re.compile(r"\?\S.*", re.DOTALL)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings that are read together. Each name begins with ``prefix``."""

    prefix: ClassVar[str] = ""
    secrets: ClassVar[tuple[str, ...]] = ()
    addresses: ClassVar[tuple[str, ...]] = ()  # secrets that an error shows, but for who asks

    @classmethod
    def wanted_instead(cls, name: str, value: Any) -> str | None:  # noqa: ARG003
        """What a value should be that its type lets pass and that is wrong all the same."""
        return None

    def check(self) -> None:
        """Raises SettingsError where values do not go together."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Every setting but the secrets: tracebacks show their locals."""
        return [
            (name, "***" if name in self.secrets and value else value)
            for name, value in msgspec.structs.asdict(self).items()
        ]

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"


S = TypeVar("S", bound=Section)


def load_section(
    kind: type[S], environ: Mapping[str, str] | None = None, folder: Path | None = None
) -> S:
    """Read one section from where all settings stand. Raises SettingsError as ``load`` does."""
    environ = os.environ if environ is None else environ
    values = _from_file(kind, (folder or Path.cwd()) / "horizon.toml")
    for name in kind.__struct_fields__:
        if name in environ:
            values[name] = environ[name]
    values.update(_secrets_from_files(kind, environ))
    return convert(kind, values)


def _from_file(kind: type[Section], path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise SettingsError(
            f"{path.name} cannot be read ({exc}): mend it or take it away."
        ) from exc
    mine = {name: value for name, value in values.items() if _is_of(kind, name)}
    unknown = sorted(set(mine) - set(kind.__struct_fields__))
    if unknown:
        raise SettingsError(
            f"horizon.toml: there is no setting {unknown[0]}: take it out, or see the list in "
            "docs/settings.md."
        )
    return mine


def _is_of(kind: type[Section], name: str) -> bool:
    """Whether the section answers for this name: the core for all that no channel has."""
    if kind.prefix:
        return name.startswith(kind.prefix)
    return name in kind.__struct_fields__ or not name.startswith(_channel_prefixes())


def _channel_prefixes() -> tuple[str, ...]:
    """Of the channels that have a section: SMTP's settings stand in the core."""
    found = (f"{path.parent.name.upper()}_" for path in CHANNELS.glob("*/settings.py"))
    return tuple(sorted(found))


def _secrets_from_files(kind: type[Section], environ: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name in kind.secrets:
        path = environ.get(f"{name}_FILE")
        if path is None:
            continue
        try:
            found[name] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise SettingsError(
                f"{name}_FILE names {path!r}, which cannot be read: give it a readable file."
            ) from exc
    return found


def convert(kind: type[S], values: Mapping[str, Any]) -> S:
    """Raises SettingsError."""
    for name, value in values.items():
        _check(kind, name, value)
    settings = msgspec.convert(dict(values), kind, strict=False)
    settings.check()
    return settings


def _check(kind: type[Section], name: str, value: Any) -> None:
    """Check one setting alone, so that the error names it."""
    secret = name in kind.secrets
    try:
        msgspec.convert({name: value}, kind, strict=False)
    except (msgspec.ValidationError, UnicodeError) as exc:
        raise _error(name, HIDDEN if secret else quoted(value), _wanted(kind, name)) from exc
    wanted = kind.wanted_instead(name, value)
    if wanted is not None:
        # What a file gave may be another secret than it was taken for.
        hidden = secret and (name not in kind.addresses or f"{name}_FILE" in os.environ)
        raise _error(name, HIDDEN if hidden else quoted(value), wanted)


def _error(name: str, shown: str, wanted: str) -> SettingsError:
    return SettingsError(f"{name} is {shown}: it should be {wanted}.")


def quoted(value: Any) -> str:
    """As an error shows it: without what an address may hold of passwords and keys."""
    return repr(masked(value)) if isinstance(value, str) else masked(repr(value))


def masked(text: str) -> str:
    def leave(found: re.Match[str]) -> str:
        return "//***@" if found[1].startswith("//") else "***@"

    return _QUERY.sub("?***", _WHO_ASKS.sub(leave, text))


def _wanted(kind: type[Section], name: str) -> str:
    """What a setting should be: the description that its type carries."""
    parts = [get_type_hints(kind, include_extras=True)[name]]
    for part in parts:
        for meta in reversed(getattr(part, "__metadata__", ())):
            return str(meta.description)
        if get_origin(part) is Literal:
            return "one of " + ", ".join(get_args(part))
        parts.extend(get_args(part))
    return "text"
