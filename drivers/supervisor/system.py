"""The few system calls that the supervisor needs and Python has no name for."""

from __future__ import annotations

import ctypes
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_TIOCSCTTY = 0x540E
_libc = ctypes.CDLL(None, use_errno=True)


def name_process(name: str) -> None:
    """What `ps` shows as the command; 15 characters count."""
    _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Ask for SIGKILL when the parent ends. Forgotten at a change of user, kept over exec."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def take_terminal(fd: int) -> None:
    """Make `fd` the controlling terminal of this process, which must lead a session."""
    _libc.ioctl(fd, _TIOCSCTTY, 0)
