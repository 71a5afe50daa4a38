"""Runs containers on a Docker engine."""

from drivers.docker.driver import DockerDriver

__all__ = ["DockerDriver"]
