"""Runs programs on the host as they are, without isolation."""

from drivers.raw_exec.driver import RawExecDriver

__all__ = ["RawExecDriver"]
