"""Who a task runs as."""

from __future__ import annotations

import grp
import os
import pwd

import msgspec

from hanse.errors import DriverFailed


class Identity(msgspec.Struct, frozen=True):
    """Numbers of a user and its groups."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str


def identity_of(driver: str, user: str) -> Identity | None:
    """Look up `name`, `uid`, `name:group` or `uid:gid`; None for "".

    Raises DriverFailed when there is no such user or group, or this process may not become it.
    """
    if not user:
        return None
    name, _, group = user.partition(":")
    try:
        found = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        if not name.isdigit():
            raise DriverFailed(driver, f'unknown user "{name}"') from None
        found = None
    gid = found.pw_gid if found else int(name)
    if group:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            raise DriverFailed(driver, f'unknown group "{group}"') from None
    uid = found.pw_uid if found else int(name)
    if os.geteuid() not in (0, uid):
        raise DriverFailed(driver, f'cannot run as "{user}": the agent does not run as root')
    groups = os.getgrouplist(found.pw_name, gid) if found and not group else [gid]
    return Identity(
        uid=uid,
        gid=gid,
        groups=tuple(groups) if os.geteuid() == 0 else (),
        name=found.pw_name if found else name,
        home=found.pw_dir if found else "/",
    )
