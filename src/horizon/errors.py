"""Every error that Horizon raises on purpose.

::

    HorizonError                 something failed; the message says what to do (exit code 1)
    ├── UsageError               the command or its input is wrong (exit code 2)
    │   ├── SettingsError        a setting is unknown or malformed
    │   ├── MappingError         a file source's mapping cannot be used
    │   └── TemplateError        a mail template cannot be used
    ├── DatabaseError            the database cannot be reached or is not ours
    ├── LakeError                the lake cannot be read, or not be written
    │   └── LakeFileError        one file of it is missing or damaged, and its place is well
    ├── PortInUseError           another program listens where we would
    ├── AlreadyRunningError      another Horizon serves the same home
    ├── TransportError           a channel did not take a message
    └── OutboundError            another server gave no answer
        ├── ForbiddenTargetError it may not be asked: a private address, no TLS, no URL
        └── UntrustedServerError its certificate proves nothing

The text of an error is one sentence for the person who typed the command: what is wrong and
what to do about it.
"""

from __future__ import annotations


class HorizonError(Exception):
    exit_code = 1


class UsageError(HorizonError):
    exit_code = 2


class SettingsError(UsageError):
    pass


class MappingError(UsageError):
    pass


class TemplateError(UsageError):
    pass


class DatabaseError(HorizonError):
    pass


class LakeError(HorizonError):
    pass


class LakeFileError(LakeError):
    pass


class PortInUseError(HorizonError):
    pass


class AlreadyRunningError(HorizonError):
    pass


class TransportError(HorizonError):
    """What a channel says when it could not deliver.

    ``permanent`` says that trying again cannot help. ``content_begun`` says that the message's
    content may have left, so that nobody can know whether the provider took it. ``broken`` says
    that the connection ended instead of an answer, ``away`` that the provider serves us not at all.
    ``retry_after_s`` is the patience that the provider asked for.
    """

    def __init__(
        self,
        message: str,
        *,
        permanent: bool = False,
        content_begun: bool = False,
        broken: bool = False,
        away: bool = False,
        address_invalid: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.permanent = permanent
        self.content_begun = content_begun
        self.broken = broken
        self.away = away
        self.address_invalid = address_invalid
        self.retry_after_s = retry_after_s


class OutboundError(HorizonError):
    """``begun``: the request may have arrived, so that nobody can know what came of it."""

    def __init__(self, message: str, *, begun: bool = False) -> None:
        super().__init__(message)
        self.begun = begun


class ForbiddenTargetError(OutboundError):
    pass


class UntrustedServerError(OutboundError):
    pass
