"""`/v1/operator/raft` and `/v1/operator/autopilot`."""

from __future__ import annotations

from hanse.sdk.client import Answer, Client, decode
from hanse.sdk.transport import ApiError
from hanse.structs.quorum import (
    AutopilotBody,
    HealthReply,
    LeadershipTransfer,
    RaftConfiguration,
)

_RAFT = "/v1/operator/raft"
_AUTOPILOT = "/v1/operator/autopilot"


class Quorum:
    """The servers of the region that a client speaks to."""

    def __init__(self, client: Client) -> None:
        """Nothing is asked yet."""
        self._client = client

    def peers(self, *, stale: bool = False) -> Answer[RaftConfiguration]:
        """The members of the quorum."""
        return self._client.read(RaftConfiguration, f"{_RAFT}/configuration", stale=stale or None)

    def remove(self, server_id: str) -> None:
        """Remove a member for good."""
        self._client.raw("DELETE", f"{_RAFT}/peer", id=server_id)

    def transfer(self, *, server_id: str = "", address: str = "") -> LeadershipTransfer:
        """Have another server lead; without either, any."""
        return self._client.write(
            LeadershipTransfer,
            f"{_RAFT}/transfer-leadership",
            id=server_id or None,
            address=address or None,
        ).value

    def autopilot(self) -> Answer[AutopilotBody]:
        """How much the leader does by itself."""
        return self._client.read(AutopilotBody, f"{_AUTOPILOT}/configuration")

    def set_autopilot(self, body: AutopilotBody) -> bool:
        """Change it, unless somebody else has meanwhile; gives whether it was done."""
        path = f"{_AUTOPILOT}/configuration"
        return self._client.write(bool, path, body, cas=str(body.modify_index)).value

    def health(self) -> Answer[HealthReply]:
        """How the servers are. A region that is not well answers 429, and the same."""
        try:
            return self._client.read(HealthReply, f"{_AUTOPILOT}/health")
        except ApiError as error:
            if error.status != 429:
                raise
            body = error.text.encode()
            return Answer(decode(body, HealthReply), body, 0, "")
