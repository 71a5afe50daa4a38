"""Our errors as HTTP answers: one table, and Nomad's sentences."""

from __future__ import annotations

from hanse.errors import HanseError, Kind

_STATUS: dict[Kind, int] = {
    "invalid": 400,
    "unsupported": 400,
    "denied": 403,
    "not-found": 404,
    "conflict": 409,
    "too-large": 413,
    "unavailable": 500,
    "no-leader": 500,
    "out-of-space": 500,
    "driver-failed": 500,
}

#: Nomad's clients tell these apart by their text, and get them with these codes from Nomad.
_STATUS_BY_TEXT: tuple[tuple[str, int], ...] = (
    ("Enforcing job modify index", 500),
    ("No path to region", 500),
    ("Job registration, dispatch, and scale are disabled", 403),
)

INVALID_METHOD = (405, "Invalid method")
ENTERPRISE_ONLY = (501, "Nomad Enterprise only endpoint")
ACL_DISABLED = (400, "ACL support disabled")
INTERNAL = (500, "internal error; the agent's log has the details")


class HTTPFailure(Exception):
    """Answer with exactly this code and text."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        """The text is plain and safe to show; `headers` go with it."""
        super().__init__(text)
        self.headers = headers
        self.status = status
        self.text = text


def status_of(error: HanseError) -> int:
    """The HTTP status of one of our errors."""
    text = str(error)
    for start, status in _STATUS_BY_TEXT:
        if text.startswith(start):
            return status
    return _STATUS[error.kind]


def no_path_to_region() -> HTTPFailure:
    """The request names a region that this agent cannot reach."""
    return HTTPFailure(500, "No path to region")
