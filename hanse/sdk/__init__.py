"""The Python API client: `from hanse.sdk import Client`."""

from hanse.sdk.client import Answer, Client
from hanse.sdk.transport import ApiError, Settings, Unreachable

__all__ = ["Answer", "ApiError", "Client", "Settings", "Unreachable"]
