"""Every error Hanse raises on purpose.

An error class exists only where some caller acts on the difference. Errors know nothing of
HTTP or gRPC: the edges turn `kind` into a status, each in one table (`region.api.errors`,
`hanse.rpc.status`). Programming mistakes are not here: they are `assert`s and `TypeError`s,
and they end the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

Kind = Literal[
    "invalid",
    "denied",
    "not-found",
    "conflict",
    "unsupported",
    "unavailable",
    "no-leader",
    "out-of-space",
    "driver-failed",
    "too-large",
]


class HanseError(Exception):
    """Base of them all; never raised itself.

    `str(error)` is safe to show to whoever made the request. What only an operator
    may see goes into `__cause__` and the log.
    """

    kind: ClassVar[Kind]
    #: Whether the same request may succeed later, unchanged.
    retryable: ClassVar[bool] = False


class Invalid(HanseError):
    """The request can never succeed as it stands. Nothing was changed."""

    kind = "invalid"

    def __init__(self, where: str, problem: str) -> None:
        """`where` is a path the user can find: a field, or file:line:column. May be empty."""
        super().__init__(f"{where}: {problem}" if where else problem)
        self.where = where
        self.problem = problem


class InvalidMany(Invalid):
    """Several things are wrong with one request. Nothing was changed."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Each problem names its own field."""
        super().__init__("", "\n".join(f"* {problem}" for problem in problems))
        self.problems = tuple(problems)


class Unsupported(HanseError):
    """Valid for Nomad, and not done by this version of Hanse. Nothing was changed."""

    kind = "unsupported"

    def __init__(self, what: Sequence[str]) -> None:
        """Name each thing by its path, such as `group "g" task "t" template`."""
        super().__init__("not supported yet: " + ", ".join(what))
        self.what = tuple(what)


class Denied(HanseError):
    """The caller may not do this. Nothing was changed."""

    kind = "denied"


class NotFound(HanseError):
    """The thing named does not exist, or the caller may not know that it does."""

    kind = "not-found"

    def __init__(self, noun: str, name: str = "", *, text: str = "") -> None:
        """Name what was looked for; `text` replaces the standard sentence."""
        super().__init__(text or (f'{noun} "{name}" not found' if name else f"{noun} not found"))
        self.noun = noun
        self.name = name


class Conflict(HanseError):
    """The state moved on under the request. Nothing was changed; read and try again."""

    kind = "conflict"
    retryable = True

    def __init__(self, noun: str, name: str, *, expected: int, actual: int) -> None:
        """Say which revision was expected and which one was found."""
        super().__init__(f"{noun} {name!r} is at revision {actual}, not {expected}")
        self.expected = expected
        self.actual = actual


class Unavailable(HanseError):
    """A peer did not answer in time. The request may or may not have been carried out."""

    kind = "unavailable"
    retryable = True

    def __init__(self, peer: str, waited_s: float) -> None:
        """Name the peer and how long we waited."""
        super().__init__(f"{peer} did not answer within {waited_s:g} s")
        self.peer = peer


class NoLeader(HanseError):
    """The region has no leader or no quorum. Nothing was changed."""

    kind = "no-leader"
    retryable = True

    def __init__(self) -> None:
        """Nomad's own words, which its clients look for."""
        super().__init__("No cluster leader")


class OutOfSpace(HanseError):
    """The store refuses writes because its disk quota is used up. Nothing was changed."""

    kind = "out-of-space"

    def __init__(self, detail: str) -> None:
        """`detail` says which limit was met and how to recover."""
        super().__init__(f"the state store is out of space: {detail}")


class TooLarge(HanseError):
    """The request is over a limit. Nothing was changed."""

    kind = "too-large"

    def __init__(self, what: str, *, size: int, size_max: int) -> None:
        """Sizes in bytes."""
        super().__init__(f"{what} has {size} bytes; at most {size_max} are accepted")


class DriverFailed(HanseError):
    """A task driver could not do as asked. The task is not running."""

    kind = "driver-failed"

    def __init__(self, driver: str, problem: str, *, recoverable: bool = False) -> None:
        """Name the driver and what it said; `recoverable` if a restart may help."""
        super().__init__(problem)
        self.driver = driver
        self.recoverable = recoverable
