"""What an operator does to a member: status, alarms, compaction, defragmentation, snapshots.

History is compacted by etcd itself, every few minutes (`--auto-compaction-retention`). That
frees room inside the file but does not shrink it; `defragment` does, and holds up the member
while it runs, so members take turns.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import structlog

from hanse.clock import Clock
from hanse.errors import Invalid, Unavailable
from region.store.calls import Caller
from region.store.member import MemberConfig
from region.store.members import Member, Members, Options, connect_all
from region.store.wire import METADATA, pb, read_failure

log = structlog.get_logger(__name__)

_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Status:
    """How a member is."""

    member_id: int
    version: str
    leader_id: int
    #: Bytes of the file, and how many of them are used.
    file_bytes: int
    used_bytes: int
    revision: int
    raft_term: int
    raft_index: int
    raft_applied: int
    learner: bool
    errors: tuple[str, ...]

    @property
    def leads(self) -> bool:
        """Whether this member is etcd's leader, which need not be Hanse's."""
        return self.member_id == self.leader_id


@dataclass(frozen=True)
class Alarm:
    """A member refuses writes: "NOSPACE", or "CORRUPT"."""

    member_id: int
    kind: str


@dataclass(frozen=True)
class MemberInfo:
    """A member of the cluster, as the cluster knows it."""

    member_id: int
    name: str
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    learner: bool


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that was written and checked."""

    path: Path
    size: int
    sha256: str


class Maintenance:
    """Operations on the one member at `endpoint`. All may raise `Unavailable`."""

    def __init__(self, members: Members, clock: Clock, options: Options) -> None:
        """See `maintenance`, which also closes it."""
        self._members = members
        self._caller = Caller(members, clock, options)

    async def status(self) -> Status:
        """Ask the member how it is. Answers without a leader too."""
        answer = await self._ask(lambda m: m.maintenance().Status, pb.StatusRequest(), leader=False)
        return Status(
            member_id=answer.header.member_id,
            version=answer.version,
            leader_id=answer.leader,
            file_bytes=answer.dbSize,
            used_bytes=answer.dbSizeInUse,
            revision=answer.header.revision,
            raft_term=answer.raftTerm,
            raft_index=answer.raftIndex,
            raft_applied=answer.raftAppliedIndex,
            learner=answer.isLearner,
            errors=tuple(answer.errors),
        )

    async def list_members(self) -> list[MemberInfo]:
        """Read the cluster's members, linearizably."""
        request = pb.MemberListRequest(linearizable=True)
        answer = await self._ask(lambda m: m.cluster().MemberList, request)
        return [
            MemberInfo(m.ID, m.name, tuple(m.peerURLs), tuple(m.clientURLs), m.isLearner)
            for m in answer.members
        ]

    async def add_learner(self, peer_url: str) -> int:
        """Make a member that does not vote; gives its id. Raises `Invalid` with etcd's reason."""
        request = pb.MemberAddRequest(peerURLs=[peer_url], isLearner=True)
        answer = await self._change(lambda m: m.cluster().MemberAdd, request)
        return int(answer.member.ID)

    async def promote(self, member_id: int) -> None:
        """Let a learner vote. Raises `Invalid` if it has not caught up."""
        request = pb.MemberPromoteRequest(ID=member_id)
        await self._change(lambda m: m.cluster().MemberPromote, request)

    async def remove(self, member_id: int) -> None:
        """Put a member out, for good. Raises `Invalid` if the rest would be no quorum."""
        request = pb.MemberRemoveRequest(ID=member_id)
        await self._change(lambda m: m.cluster().MemberRemove, request)

    async def move_leader(self, member_id: int) -> None:
        """Hand etcd's leadership over. Only its leader can: ask that member."""
        request = pb.MoveLeaderRequest(targetID=member_id)
        await self._change(lambda m: m.maintenance().MoveLeader, request)

    async def _change(self, stub: Callable[[Member], Any], request: Any) -> Any:
        """Change the membership, once: whether it was done is seen by looking."""

        def ask(member: Member, timeout_s: float) -> Awaitable[Any]:
            answer: Awaitable[Any] = stub(member)(request, timeout=timeout_s, metadata=METADATA)
            return answer

        try:
            return await self._caller.call(ask, repeatable=False)
        except grpc.aio.AioRpcError as error:
            raise Invalid("etcd", error.details() or str(error.code())) from error

    async def alarms(self) -> list[Alarm]:
        """List the alarms that are raised."""
        request = pb.AlarmRequest(action=pb.AlarmRequest.GET)
        answer = await self._ask(lambda m: m.maintenance().Alarm, request)
        return [Alarm(a.memberID, pb.AlarmType.Name(a.alarm)) for a in answer.alarms]

    async def disarm(self, alarm: Alarm) -> None:
        """Lower an alarm. It is raised again at the next write if its reason remains."""
        request = pb.AlarmRequest(
            action=pb.AlarmRequest.DEACTIVATE,
            memberID=alarm.member_id,
            alarm=pb.AlarmType.Value(alarm.kind),
        )
        await self._ask(lambda m: m.maintenance().Alarm, request)

    async def compact(self, revision: int) -> None:
        """Forget the history before `revision`, and wait until its room is free."""
        request = pb.CompactionRequest(revision=revision, physical=True)
        await self._ask(lambda m: m.kv().Compact, request, deadline_s=60.0)

    async def defragment(self) -> None:
        """Give unused room of the file back to the file system. The member waits meanwhile."""
        request = pb.DefragmentRequest()
        await self._ask(
            lambda m: m.maintenance().Defragment, request, deadline_s=300.0, leader=False
        )

    async def snapshot(self, path: Path, *, deadline_s: float = 600.0) -> Snapshot:
        """Write the member's data to `path`, which appears whole or not at all.

        etcd sends a digest after the data; a file that does not match it is not kept.
        Raises `Unavailable` if the stream broke or the digest differs.
        """
        member = self._members.all[0]
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as file:
                digest, size = await self._receive(member, file.write, deadline_s)
                file.flush()
                await asyncio.to_thread(os.fsync, file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return Snapshot(path, size, digest)

    async def _receive(
        self, member: Member, write: Callable[[bytes], object], deadline_s: float
    ) -> tuple[str, int]:
        digest = hashlib.sha256()
        size = 0
        tail = b""
        call = member.maintenance().Snapshot(
            pb.SnapshotRequest(), timeout=deadline_s, metadata=METADATA
        )
        try:
            async for part in call:
                write(part.blob)
                size += len(part.blob)
                data = tail + part.blob
                digest.update(data[:-_DIGEST_BYTES])
                tail = data[-_DIGEST_BYTES:]
        except grpc.aio.AioRpcError as error:
            failure = read_failure(error, member.address, deadline_s)
            raise failure.error if failure else error from error
        finally:
            call.cancel()
        if digest.digest() != tail:
            raise Unavailable(f"etcd member {member.address} (snapshot damaged)", deadline_s)
        return digest.hexdigest(), size

    async def _ask(
        self,
        stub: Callable[[Member], Any],
        request: Any,
        *,
        deadline_s: float = 0.0,
        leader: bool = True,
    ) -> Any:
        """Ask once; `leader`: only a member that has one may answer."""

        def ask(member: Member, timeout_s: float) -> Awaitable[Any]:
            metadata = METADATA if leader else ()
            answer: Awaitable[Any] = stub(member)(request, timeout=timeout_s, metadata=metadata)
            return answer

        return await self._caller.call(ask, repeatable=True, deadline_s=deadline_s)


@asynccontextmanager
async def maintenance(
    endpoint: str,
    *,
    clock: Clock,
    credentials: grpc.ChannelCredentials | None = None,
) -> AsyncGenerator[Maintenance, None]:
    """Open `Maintenance` of the member at `endpoint`, "host:port"."""
    options = Options(patience_s=0.0, call_deadline_s=5.0)
    members = connect_all([endpoint], credentials, options)
    try:
        yield Maintenance(members, clock, options)
    finally:
        await members.close()


async def restore(
    etcdutl: Path, snapshot: Path, config: MemberConfig, *, bump_revisions: int = 0
) -> None:
    """Make the data directory of a stopped member from a snapshot.

    Every member of the new cluster is restored from the same file, each under its own name.
    `bump_revisions` moves the revision on, so that no client sees an index go back; give
    more than the writes lost since the snapshot. Raises `Invalid` if the directory exists or
    `etcdutl` refuses the file.
    """
    if config.data_dir.exists() and any(config.data_dir.iterdir()):
        raise Invalid("data_dir", f"{config.data_dir} is not empty")
    if config.data_dir.exists():
        config.data_dir.rmdir()
    process = await asyncio.create_subprocess_exec(
        etcdutl, *restore_arguments(snapshot, config, bump_revisions),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={},
    )  # fmt: skip
    _, said = await process.communicate()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines()
        raise Invalid(str(snapshot), f"cannot be restored: {lines[-1] if lines else 'no reason'}")


def restore_arguments(snapshot: Path, config: MemberConfig, bump_revisions: int) -> Sequence[str]:
    """Give the command line of `etcdutl` for `restore`."""
    arguments = [
        "snapshot", "restore", str(snapshot),
        f"--name={config.name}",
        f"--data-dir={config.data_dir}",
        f"--initial-cluster={config.cluster}",
        f"--initial-cluster-token=hanse-{config.region}",
        f"--initial-advertise-peer-urls={config.scheme}://{config.peer_address}",
    ]  # fmt: skip
    if bump_revisions:
        arguments += [f"--bump-revision={bump_revisions}", "--mark-compacted"]
    return arguments
