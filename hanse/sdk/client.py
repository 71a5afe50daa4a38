"""The API as Python: `Client("http://127.0.0.1:4646").jobs.list()`.

Every method of a read returns an `Answer`: the value, decoded and typed, with the index it was
read at and the bytes it came as. Keyword arguments that a method does not name are query parameters
(`prefix`, `filter`, `per_page`, `next_token`, `reverse`, `index`, `wait`, `namespace` …). All
methods raise `ApiError` when the agent refuses and `Unreachable` when it does not answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from hanse.durations import SECOND_NS, parse_duration
from hanse.sdk.transport import (
    ApiError,
    Query,
    Response,
    Settings,
    Stream,
    Transport,
    segment,
    target_of,
)
from hanse.sdk.types import (
    AgentMembers,
    AllocationDetail,
    AllocStopResponse,
    EvalDeleted,
    EvalReference,
    Events,
    JobVersions,
    Namespace,
    NodeMeta,
    NodePool,
    NodeUpdateResponse,
    ScalingPolicyListStub,
    SchedulerConfigurationAnswer,
    SearchResponse,
    Updated,
)
from hanse.structs.api import (
    AllocListStub,
    JobDeregisterResponse,
    JobListStub,
    JobPlanResponse,
    JobRegisterRequest,
    JobRegisterResponse,
    JobScaleStatus,
    JobSubmission,
    JobSummary,
    JobValidateResponse,
    SchedulerConfiguration,
)
from hanse.structs.deployment import Deployment, DeploymentUpdateResponse
from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job, JobVersionTag
from hanse.structs.node import Node, NodeListStub
from hanse.structs.service import (
    CheckQueryResult,
    ServiceRegistration,
    ServiceRegistrationListStub,
)
from hanse.structs.stats import AllocFileInfo, AllocResourceUsage, HostStats

T = TypeVar("T")

#: Servers stretch the `wait` of a blocking query by up to a sixteenth.
_WAIT_SLACK_S = 15.0
#: The wait servers assume when a blocking query names none.
_WAIT_DEFAULT_S = 300.0


class Answer(Generic[T]):
    """What a call returned."""

    __slots__ = ("body", "index", "next_token", "value")

    def __init__(self, value: T, body: bytes, index: int, next_token: str) -> None:
        """`index` is 0 when the agent gave none; `next_token` is empty on the last page."""
        self.value = value
        self.body = body
        self.index = index
        self.next_token = next_token


def _pruned(value: Any) -> Any:
    """JSON without its nulls: Nomad writes one where a list or map is empty."""
    if isinstance(value, dict):
        return {key: _pruned(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_pruned(inner) for inner in value]
    return value


def decode(body: bytes, kind: type[T]) -> T:
    """JSON of the API as a value of ours. Raises ApiError when it is something else."""
    try:
        return msgspec.json.decode(body or b"null", type=kind)
    except msgspec.MsgspecError:
        pass
    try:
        return msgspec.convert(_pruned(msgspec.json.decode(body or b"{}")), kind)
    except msgspec.MsgspecError as error:
        raise ApiError(200, f"the agent's answer cannot be understood: {error}") from error


class Client:
    """One agent, and through it the whole region. Not to be shared between threads."""

    def __init__(
        self, address: str = "http://127.0.0.1:4646", *, settings: Settings | None = None
    ) -> None:
        """Nothing is connected yet. Raises ValueError for an address that cannot be one."""
        self.settings = settings or Settings(address=address)
        self.transport = Transport(self.settings)
        self.jobs = Jobs(self)
        self.allocations = Allocations(self)
        self.evaluations = Evaluations(self)
        self.deployments = Deployments(self)
        self.nodes = Nodes(self)
        self.services = Services(self)
        self.operator = Operator(self)
        self.agent = Agent(self)
        self.files = Files(self)

    def close(self) -> None:
        """Hang up."""
        self.transport.close()

    def target(self, path: str, query: Mapping[str, Query | list[str]]) -> str:
        """The path with its query, region and namespace included."""
        own = {"region": self.settings.region, "namespace": self.settings.namespace}
        return target_of(path, {**own, **query})

    def read(self, kind: type[T], path: str, /, **query: Query) -> Answer[T]:
        """GET a value."""
        timeout_s = self.settings.timeout_s
        if query.get("index"):
            wait = query.get("wait")
            waits_s = parse_duration(str(wait)) / SECOND_NS if wait else _WAIT_DEFAULT_S
            timeout_s = waits_s * 17 / 16 + _WAIT_SLACK_S
        response = self._call("GET", path, query, timeout_s=timeout_s)
        return _answer(response, kind)

    def write(self, kind: type[T], path: str, body: object = None, /, **query: Query) -> Answer[T]:
        """PUT a value."""
        return self.send("PUT", kind, path, body, **query)

    def send(
        self, method: str, kind: type[T], path: str, body: object = None, /, **query: Query
    ) -> Answer[T]:
        """POST, PUT or DELETE; the body is encoded as JSON."""
        content = None if body is None else msgspec.json.encode(body)
        return _answer(self._call(method, path, query, body=content), kind)

    def raw(self, method: str, path: str, body: bytes | None = None, /, **query: Query) -> bytes:
        """The bytes that a call returns."""
        return self._call(method, path, query, body=body).body

    def stream(self, path: str, /, **query: Query | list[str]) -> Stream:
        """GET an answer that goes on."""
        return self.transport.stream(self.target(path, query))

    def search(
        self, prefix: str, context: str = "all", /, **query: Query
    ) -> Answer[SearchResponse]:
        """Ids that begin with a text."""
        body = {"Prefix": prefix, "Context": context}
        return self.send("POST", SearchResponse, "/v1/search", body, **query)

    def namespaces(self, **query: Query) -> Answer[tuple[Namespace, ...]]:
        """All namespaces."""
        return self.read(tuple[Namespace, ...], "/v1/namespaces", **query)

    def namespace(self, name: str) -> Answer[Namespace]:
        """One namespace."""
        return self.read(Namespace, f"/v1/namespace/{segment(name)}")

    def scaling_policies(self, **query: Query) -> Answer[tuple[ScalingPolicyListStub, ...]]:
        """Scaling policies."""
        return self.read(tuple[ScalingPolicyListStub, ...], "/v1/scaling/policies", **query)

    def regions(self) -> Answer[tuple[str, ...]]:
        """The names of all regions."""
        return self.read(tuple[str, ...], "/v1/regions")

    def events(
        self, topics: Sequence[str] = (), *, index: int = 0, **query: Query
    ) -> Iterator[Events]:
        """What happens in the region, as it happens. Never ends by itself.

        A topic is `Job`, or `Job:name` for one job; none means all. With `index`, what happened
        since then comes first, as far as the agent remembers.
        """
        asked: dict[str, Query | list[str]] = {"topic": list(topics), "index": index or None}
        with self.stream("/v1/event/stream", **asked, **query) as stream:
            for line in lines(stream):
                events = decode(line, Events) if line.strip() else Events()
                if events.events:
                    yield events

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Query | list[str]],
        *,
        body: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Response:
        target = self.target(path, query)
        response = self.transport.request(method, target, body=body, timeout_s=timeout_s)
        if not 200 <= response.status < 300:
            raise ApiError(response.status, response.body.decode(errors="replace"))
        return response


def _answer(response: Response, kind: type[T]) -> Answer[T]:
    headers = {key.lower(): value for key, value in response.headers.items()}
    index = headers.get("x-nomad-index", "0")
    return Answer(
        decode(response.body, kind),
        response.body,
        int(index) if index.isdigit() else 0,
        headers.get("x-nomad-nexttoken", ""),
    )


class _Part:
    """A part of the API."""

    def __init__(self, client: Client) -> None:
        """Calls go through the client."""
        self._client = client


class Jobs(_Part):
    """`/v1/jobs` and `/v1/job`."""

    def list(self, **query: Query) -> Answer[tuple[JobListStub, ...]]:
        """Jobs, by namespace and id."""
        return self._client.read(tuple[JobListStub, ...], "/v1/jobs", **query)

    def get(self, job: str, **query: Query) -> Answer[Job]:
        """One job."""
        return self._client.read(Job, f"/v1/job/{segment(job)}", **query)

    def register(
        self, request: JobRegisterRequest | Mapping[str, object], **query: Query
    ) -> Answer[JobRegisterResponse]:
        """Submit a job. A mapping is sent as it is: what it leaves out takes Nomad's defaults."""
        return self._client.write(JobRegisterResponse, "/v1/jobs", request, **query)

    def plan(
        self, job: Job | Mapping[str, object], *, diff: bool = True, **query: Query
    ) -> Answer[JobPlanResponse]:
        """What submitting the job would do; nothing is changed."""
        body = {"Job": job, "Diff": diff}
        name = job.id if isinstance(job, Job) else str(job.get("ID") or job.get("Name") or "")
        return self._client.write(JobPlanResponse, _job(name, "plan"), body, **query)

    def parse(
        self, source: str, *, canonicalize: bool = False, variables: str = ""
    ) -> dict[str, Any]:
        """A job file as the API's job; `variables` is the text of a file of variables."""
        body = {"JobHCL": source, "Canonicalize": canonicalize, "Variables": variables}
        return self._client.send("POST", dict[str, Any], "/v1/jobs/parse", body).value

    def validate(
        self, job: Job | Mapping[str, object], **query: Query
    ) -> Answer[JobValidateResponse]:
        """What the servers think of a job."""
        return self._client.write(JobValidateResponse, "/v1/validate/job", {"Job": job}, **query)

    def deregister(
        self, job: str, *, purge: bool = False, **query: Query
    ) -> Answer[JobDeregisterResponse]:
        """Stop a job; `purge` forgets it as well."""
        return self._client.send("DELETE", JobDeregisterResponse, _job(job), purge=purge, **query)

    def allocations(self, job: str, **query: Query) -> Answer[tuple[AllocListStub, ...]]:
        """Allocations of a job."""
        return self._client.read(tuple[AllocListStub, ...], _job(job, "allocations"), **query)

    def evaluations(self, job: str, **query: Query) -> Answer[tuple[Evaluation, ...]]:
        """Evaluations of a job."""
        return self._client.read(tuple[Evaluation, ...], _job(job, "evaluations"), **query)

    def deployments(self, job: str, **query: Query) -> Answer[tuple[Deployment, ...]]:
        """Deployments of a job, newest first."""
        return self._client.read(tuple[Deployment, ...], _job(job, "deployments"), **query)

    def latest_deployment(self, job: str, **query: Query) -> Answer[Deployment | None]:
        """The latest deployment, if there was one."""
        return self._client.read(Deployment | None, _job(job, "deployment"), **query)  # type: ignore[arg-type]

    def summary(self, job: str, **query: Query) -> Answer[JobSummary]:
        """Counts by group and status."""
        return self._client.read(JobSummary, _job(job, "summary"), **query)

    def versions(self, job: str, **query: Query) -> Answer[JobVersions]:
        """Versions, newest first; `diffs=True` compares each with the one before."""
        return self._client.read(JobVersions, _job(job, "versions"), **query)

    def submission(self, job: str, version: int, **query: Query) -> Answer[JobSubmission]:
        """The source a version was submitted from."""
        return self._client.read(JobSubmission, _job(job, "submission"), version=version, **query)

    def revert(self, job: str, version: int, **query: Query) -> Answer[JobRegisterResponse]:
        """Go back to a version."""
        body = {"JobID": job, "JobVersion": version}
        return self._client.write(JobRegisterResponse, _job(job, "revert"), body, **query)

    def evaluate(
        self, job: str, *, force_reschedule: bool = False, **query: Query
    ) -> Answer[EvalReference]:
        """Look at the job again."""
        body = {"JobID": job, "EvalOptions": {"ForceReschedule": force_reschedule}}
        return self._client.write(EvalReference, _job(job, "evaluate"), body, **query)

    def scale_status(self, job: str, **query: Query) -> Answer[JobScaleStatus]:
        """Counts by group, and the events that changed them."""
        return self._client.read(JobScaleStatus, _job(job, "scale"), **query)

    def scale(
        self,
        job: str,
        group: str,
        count: int,
        message: str = "",
        *,
        check_index: int | None = None,
        **query: Query,
    ) -> Answer[JobRegisterResponse]:
        """Change a group's count."""
        body: dict[str, object] = {"Count": count, "Target": {"Group": group}, "Message": message}
        if check_index is not None:
            body |= {"EnforceIndex": True, "JobModifyIndex": check_index}
        return self._client.write(JobRegisterResponse, _job(job, "scale"), body, **query)

    def tag(
        self,
        job: str,
        name: str,
        *,
        version: int | None = None,
        description: str = "",
        **query: Query,
    ) -> Answer[JobVersionTag]:
        """Name a version; the latest when none is given."""
        body = {"Version": version or 0, "Latest": version is None, "Description": description}
        path = _job(job, f"versions/{segment(name)}/tag")
        return self._client.write(JobVersionTag, path, body, **query)

    def untag(self, job: str, name: str, **query: Query) -> None:
        """Take a version's name away."""
        self._client.raw("DELETE", _job(job, f"versions/{segment(name)}/tag"), **query)


def _job(job: str, part: str = "") -> str:
    return f"/v1/job/{segment(job)}" + (f"/{part}" if part else "")


class Allocations(_Part):
    """`/v1/allocations`, `/v1/allocation` and `/v1/client/allocation`."""

    def list(self, **query: Query) -> Answer[tuple[AllocListStub, ...]]:
        """Allocations."""
        return self._client.read(tuple[AllocListStub, ...], "/v1/allocations", **query)

    def get(self, alloc: str, **query: Query) -> Answer[AllocationDetail]:
        """One allocation with its job."""
        return self._client.read(AllocationDetail, f"/v1/allocation/{alloc}", **query)

    def stop(self, alloc: str, **query: Query) -> Answer[AllocStopResponse]:
        """Stop it; the scheduler places another one."""
        return self._client.write(AllocStopResponse, f"/v1/allocation/{alloc}/stop", **query)

    def restart(
        self, alloc: str, task: str = "", *, all_tasks: bool = False, **query: Query
    ) -> None:
        """Restart one task, all running ones, or all."""
        body = msgspec.json.encode({"TaskName": task, "AllTasks": all_tasks})
        self._client.raw("PUT", f"/v1/client/allocation/{alloc}/restart", body, **query)

    def signal(self, alloc: str, signal: str, task: str = "", **query: Query) -> None:
        """Send a signal to one task, or to all."""
        body = msgspec.json.encode({"Task": task, "Signal": signal})
        self._client.raw("PUT", f"/v1/client/allocation/{alloc}/signal", body, **query)

    def stats(self, alloc: str, **query: Query) -> Answer[AllocResourceUsage]:
        """What it uses now."""
        path = f"/v1/client/allocation/{alloc}/stats"
        return self._client.read(AllocResourceUsage, path, **query)

    def checks(self, alloc: str, **query: Query) -> Answer[dict[str, CheckQueryResult]]:
        """The last results of its checks."""
        path = f"/v1/client/allocation/{alloc}/checks"
        return self._client.read(dict[str, CheckQueryResult], path, **query)


class Evaluations(_Part):
    """`/v1/evaluations` and `/v1/evaluation`."""

    def list(self, **query: Query) -> Answer[tuple[Evaluation, ...]]:
        """Evaluations, oldest first."""
        return self._client.read(tuple[Evaluation, ...], "/v1/evaluations", **query)

    def get(self, evaluation: str, **query: Query) -> Answer[Evaluation]:
        """One evaluation."""
        return self._client.read(Evaluation, f"/v1/evaluation/{evaluation}", **query)

    def allocations(self, evaluation: str, **query: Query) -> Answer[tuple[AllocListStub, ...]]:
        """Allocations that it made or changed."""
        path = f"/v1/evaluation/{evaluation}/allocations"
        return self._client.read(tuple[AllocListStub, ...], path, **query)

    def delete(self, ids: Sequence[str]) -> Answer[EvalDeleted]:
        """Delete some."""
        body = {"EvalIDs": tuple(ids)}
        return self._client.send("DELETE", EvalDeleted, "/v1/evaluations", body)

    def delete_matching(self, expression: str) -> Answer[EvalDeleted]:
        """Delete those that a filter expression holds for."""
        body = {"Filter": expression}
        return self._client.send("DELETE", EvalDeleted, "/v1/evaluations", body)

    def count(self, expression: str = "") -> Answer[EvalDeleted]:
        """How many there are."""
        return self._client.read(EvalDeleted, "/v1/evaluations/count", filter=expression)


class Deployments(_Part):
    """`/v1/deployments` and `/v1/deployment`."""

    def list(self, **query: Query) -> Answer[tuple[Deployment, ...]]:
        """Deployments."""
        return self._client.read(tuple[Deployment, ...], "/v1/deployments", **query)

    def get(self, deployment: str, **query: Query) -> Answer[Deployment]:
        """One deployment."""
        return self._client.read(Deployment, f"/v1/deployment/{deployment}", **query)

    def fail(self, deployment: str) -> Answer[DeploymentUpdateResponse]:
        """Give it up."""
        return self._change("fail", deployment, {"DeploymentID": deployment})

    def pause(self, deployment: str, *, pause: bool) -> Answer[DeploymentUpdateResponse]:
        """Hold it, or let it go on."""
        return self._change("pause", deployment, {"DeploymentID": deployment, "Pause": pause})

    def promote(
        self, deployment: str, groups: tuple[str, ...] = ()
    ) -> Answer[DeploymentUpdateResponse]:
        """Accept the canaries of some groups, or of all."""
        which: dict[str, object] = {"Groups": list(groups)} if groups else {"All": True}
        return self._change("promote", deployment, {"DeploymentID": deployment, **which})

    def _change(
        self, verb: str, deployment: str, body: dict[str, object]
    ) -> Answer[DeploymentUpdateResponse]:
        path = f"/v1/deployment/{verb}/{deployment}"
        return self._client.write(DeploymentUpdateResponse, path, body)


class Nodes(_Part):
    """`/v1/nodes`, `/v1/node` and node pools."""

    def list(self, **query: Query) -> Answer[tuple[NodeListStub, ...]]:
        """Nodes."""
        return self._client.read(tuple[NodeListStub, ...], "/v1/nodes", **query)

    def get(self, node: str, **query: Query) -> Answer[Node]:
        """One node."""
        return self._client.read(Node, f"/v1/node/{node}", **query)

    def allocations(self, node: str, **query: Query) -> Answer[tuple[AllocationDetail, ...]]:
        """Its allocations, each with its job."""
        path = f"/v1/node/{node}/allocations"
        return self._client.read(tuple[AllocationDetail, ...], path, **query)

    def drain(
        self, node: str, spec: Mapping[str, object] | None, *, eligible: bool, meta: dict[str, str]
    ) -> Answer[NodeUpdateResponse]:
        """Empty the node, or (`spec` None) stop doing so. `Deadline` in the spec is nanoseconds."""
        body = {"DrainSpec": spec, "MarkEligible": eligible, "Meta": meta}
        return self._client.write(NodeUpdateResponse, f"/v1/node/{node}/drain", body)

    def eligibility(self, node: str, *, eligible: bool) -> Answer[NodeUpdateResponse]:
        """Say whether new allocations may come."""
        body = {"NodeID": node, "Eligibility": "eligible" if eligible else "ineligible"}
        return self._client.write(NodeUpdateResponse, f"/v1/node/{node}/eligibility", body)

    def stats(self, node: str) -> Answer[HostStats]:
        """What the host uses now."""
        return self._client.read(HostStats, "/v1/client/stats", node_id=node)

    def meta(self, node: str = "") -> Answer[NodeMeta]:
        """Metadata of a node; the agent's own when none is named."""
        return self._client.read(NodeMeta, "/v1/client/metadata", node_id=node)

    def set_meta(self, node: str, meta: Mapping[str, str | None]) -> Answer[NodeMeta]:
        """Set or (None) remove metadata while the node runs."""
        body = {"NodeID": node, "Meta": meta}
        return self._client.send("POST", NodeMeta, "/v1/client/metadata", body, node_id=node)

    def pools(self, **query: Query) -> Answer[tuple[NodePool, ...]]:
        """Node pools."""
        return self._client.read(tuple[NodePool, ...], "/v1/node/pools", **query)

    def pool(self, name: str) -> Answer[NodePool]:
        """One node pool."""
        return self._client.read(NodePool, f"/v1/node/pool/{segment(name)}")

    def pool_nodes(self, name: str, **query: Query) -> Answer[tuple[NodeListStub, ...]]:
        """Nodes of a pool."""
        path = f"/v1/node/pool/{segment(name)}/nodes"
        return self._client.read(tuple[NodeListStub, ...], path, **query)

    def pool_jobs(self, name: str, **query: Query) -> Answer[tuple[JobListStub, ...]]:
        """Jobs of a pool."""
        path = f"/v1/node/pool/{segment(name)}/jobs"
        return self._client.read(tuple[JobListStub, ...], path, **query)


class Services(_Part):
    """`/v1/services` and `/v1/service`."""

    def list(self, **query: Query) -> Answer[tuple[ServiceRegistrationListStub, ...]]:
        """Names and tags, by namespace."""
        return self._client.read(tuple[ServiceRegistrationListStub, ...], "/v1/services", **query)

    def get(self, name: str, **query: Query) -> Answer[tuple[ServiceRegistration, ...]]:
        """The instances of a service."""
        path = f"/v1/service/{segment(name)}"
        return self._client.read(tuple[ServiceRegistration, ...], path, **query)

    def delete(self, name: str, registration: str, **query: Query) -> None:
        """Take one registration away."""
        path = f"/v1/service/{segment(name)}/{segment(registration)}"
        self._client.raw("DELETE", path, **query)


class Operator(_Part):
    """`/v1/operator` and `/v1/system`."""

    def scheduler_config(self) -> Answer[SchedulerConfigurationAnswer]:
        """How the scheduler decides."""
        path = "/v1/operator/scheduler/configuration"
        return self._client.read(SchedulerConfigurationAnswer, path)

    def set_scheduler_config(
        self, config: SchedulerConfiguration, *, check_index: int | None = None
    ) -> Answer[Updated]:
        """Change it; with `check_index` only if it is still the one of that index."""
        path = "/v1/operator/scheduler/configuration"
        if check_index is not None:
            path = f"{path}?cas={check_index}"
        return self._client.write(Updated, path, config)

    def collect_garbage(self) -> None:
        """Forget what is over."""
        self._client.raw("PUT", "/v1/system/gc")

    def metrics(self, *, prometheus: bool = False) -> bytes:
        """The agent's metrics, as JSON or in Prometheus's format."""
        return self._client.raw("GET", "/v1/metrics", format="prometheus" if prometheus else None)


class Agent(_Part):
    """`/v1/agent` and `/v1/status`."""

    def self(self) -> Answer[dict[str, Any]]:
        """The agent's configuration, its member and its statistics."""
        return self._client.read(dict[str, Any], "/v1/agent/self")

    def members(self) -> Answer[AgentMembers]:
        """Servers of all regions."""
        return self._client.read(AgentMembers, "/v1/agent/members")

    def leader(self, region: str = "") -> str:
        """Where the leader of a region is; empty when there is none."""
        return self._client.read(str, "/v1/status/leader", region=region or None).value

    def join(self, addresses: list[str]) -> Answer[dict[str, Any]]:
        """Join the servers at these addresses."""
        target = target_of("/v1/agent/join", {"address": addresses})
        return self._client.write(dict[str, Any], target)

    def force_leave(self, node: str, *, prune: bool = False) -> None:
        """Declare a member gone."""
        self._client.raw("PUT", "/v1/agent/force-leave", node=node, prune=prune)


class Files(_Part):
    """`/v1/client/fs`."""

    def list(self, alloc: str, path: str, **query: Query) -> Answer[tuple[AllocFileInfo, ...]]:
        """A folder."""
        where = f"/v1/client/fs/ls/{alloc}"
        return self._client.read(tuple[AllocFileInfo, ...], where, path=path, **query)

    def stat(self, alloc: str, path: str, **query: Query) -> Answer[AllocFileInfo]:
        """A file or folder."""
        return self._client.read(AllocFileInfo, f"/v1/client/fs/stat/{alloc}", path=path, **query)

    def read_at(self, alloc: str, path: str, offset: int, limit: int, **query: Query) -> bytes:
        """A part of a file."""
        where = f"/v1/client/fs/readat/{alloc}"
        return self._client.raw("GET", where, path=path, offset=str(offset), limit=limit, **query)

    def cat(self, alloc: str, path: str, **query: Query) -> Stream:
        """A file from its beginning to its end."""
        return self._client.stream(f"/v1/client/fs/cat/{alloc}", path=path, **query)

    def read_frames(
        self,
        alloc: str,
        path: str,
        *,
        follow: bool = True,
        offset: int = 0,
        origin: str = "start",
        **query: Query,
    ) -> Stream:
        """A file, also as it grows, in frames (`hanse.sdk.frames`)."""
        return self._client.stream(
            f"/v1/client/fs/stream/{alloc}",
            path=path,
            offset=str(offset),
            origin=origin,
            follow="true" if follow else "false",
            **query,
        )

    def logs(
        self,
        alloc: str,
        task: str,
        stream: str,
        *,
        follow: bool = False,
        offset: int = 0,
        origin: str = "start",
        **query: Query,
    ) -> Stream:
        """A task's output as plain bytes; `stream` is `stdout` or `stderr`."""
        return self._client.stream(
            f"/v1/client/fs/logs/{alloc}",
            task=task,
            type=stream,
            follow="true" if follow else "false",
            offset=str(offset),
            origin=origin,
            plain=True,
            **query,
        )


def lines(stream: Stream) -> Iterator[bytes]:
    """The lines of a stream, without their ends."""
    rest = b""
    for chunk in stream.chunks():
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest
