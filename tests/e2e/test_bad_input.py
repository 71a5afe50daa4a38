"""Input that broke others, against a real agent: refused at once, in words, with nothing changed.

Every line of the project's list of what broke others is here that has a feature to break.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from hanse.structs.job import Job
from hanse.structs.task import Constraint
from region.state import codec
from region.state.keys import Keys
from tests.e2e.harness import Agent, Response, eventually, raw_exec_job

#: How long an answer may take.
PROMPT_S = 1.0
DEEP = 10_000
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def prompt(agent: Agent, method: str, path: str, body: object = None) -> Response:
    """The answer to a request that must come at once, though the machine may be busy once."""
    took_s = 0.0
    for _ in range(2):
        began = time.monotonic()
        answer = agent.ask("127.0.0.1", method, path, body, timeout_s=20)
        took_s = time.monotonic() - began
        if took_s < PROMPT_S:
            return answer
    raise AssertionError(f"{method} {path[:80]} took {took_s:.1f} s")


def state_of(agent: Agent) -> list[str]:
    """Something that differs whenever anything was written."""
    paths = ("/v1/jobs", "/v1/evaluations", "/v1/allocations", "/v1/deployments", "/v1/nodes")
    return [agent.get(path).text for path in paths]


def assert_refused(
    agent: Agent, method: str, path: str, body: object = None, *, text: str = ""
) -> Response:
    """The request is refused by a 4xx with a text of no control characters; nothing changes."""
    before = state_of(agent)
    answer = prompt(agent, method, path, body)
    assert 400 <= answer.status < 500, f"{answer.status}: {answer.body[:300]!r}"
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.text.strip()
    assert not CONTROLS.search(answer.text)
    assert text.lower() in answer.text.lower()
    assert state_of(agent) == before
    return answer


def group_of(**fields: Any) -> dict[str, Any]:
    job = raw_exec_job("bad", "exec true")
    job["TaskGroups"][0].update(fields)
    return job


def task_of(**fields: Any) -> dict[str, Any]:
    return raw_exec_job("bad", "exec true", **fields)


def job_of(**fields: Any) -> dict[str, Any]:
    return {**raw_exec_job("bad", "exec true"), **fields}


def rule(operand: str, right: str) -> list[dict[str, str]]:
    return [{"LTarget": "${attr.kernel.name}", "RTarget": right, "Operand": operand}]


def port(value: int) -> list[dict[str, Any]]:
    return [{"ReservedPorts": [{"Label": "a", "Value": value}]}]


BAD_NAMES = ("a\0b", "a\x1b[31m", "a\x9b31m", "a\nb", "a\u202eb", "a" * 5000)
BAD_JOBS: dict[str, tuple[dict[str, Any], str]] = {
    **{f"job ID {n[:4]!r}": (job_of(ID=n), "job ID") for n in (*BAD_NAMES, "a b", "../x", "x/..")},
    **{
        f"task {n[:4]!r}": (task_of(Name=n), "task")
        for n in (*BAD_NAMES, "", "..", ".", "/", "a/b", "a\\b", "alloc", "Secrets", "shared")
    },
    **{f"group {n[:4]!r}": (group_of(Name=n), "group name") for n in (*BAD_NAMES, "")},
    **{f"driver {n[:4]!r}": (task_of(Driver=n), "driver") for n in BAD_NAMES},
    **{f"datacenter {n[:4]!r}": (job_of(Datacenters=[n]), "datacenter") for n in ("", "\x1b[0m")},
    **{
        f"service {n[:4]!r}": (group_of(Services=[{"Name": n, "Provider": "nomad"}]), "service")
        for n in BAD_NAMES
    },
    **{f"count {n}": (group_of(Count=n), "count") for n in (-1, 10**9, 2**31, 2**63 - 1)},
    **{f"priority {n}": (job_of(Priority=n), "priority") for n in (-1, 101, 2**63 - 1)},
    **{f"port {n}": (group_of(Networks=port(n)), "port") for n in (-1, 0, 65536, 2**40)},
    **{
        f"cpu {n}": (task_of(Resources={"CPU": n, "MemoryMB": 10}), "cpu")
        for n in (-1, 0, -(2**62))
    },
    **{
        f"memory {n}": (task_of(Resources={"CPU": 10, "MemoryMB": n}), "memory")
        for n in (-1, 0, -(2**62))
    },
    "disk": (group_of(EphemeralDisk={"SizeMB": -1}), "ephemeral_disk"),
    "log files": (task_of(LogConfig={"MaxFiles": 2**40, "MaxFileSizeMB": 2**40}), "logs"),
    "no logs": (task_of(LogConfig={"MaxFiles": -1, "MaxFileSizeMB": 0}), "logs"),
    "kill_timeout": (task_of(KillTimeout=-1), "kill_timeout"),
    "update": (group_of(Update={"MaxParallel": -1, "MinHealthyTime": -1}), "update"),
    "restart": (group_of(RestartPolicy={"Attempts": -1, "Mode": "fail"}), "restart"),
    "reschedule": (group_of(ReschedulePolicy={"Attempts": -1, "Delay": -1}), "reschedule"),
    "type": (job_of(Type="bogus"), "type"),
    "operator": (job_of(Constraints=rule("bogus", "x")), "operator"),
    "regexp": (job_of(Constraints=rule("regexp", "((((")), "regexp"),
    "large regexp": (job_of(Constraints=rule("regexp", "(((a{999}){999}){999})")), "regexp"),
    "version": (job_of(Constraints=rule("version", "bogus >< 1")), "version"),
    "weight": (job_of(Affinities=[{"LTarget": "a", "RTarget": "b", "Weight": 1000}]), "weight"),
    "environment": (task_of(Env={"A": "x\0"}), "env"),
    "wildcard namespace": (job_of(Namespace="*"), "namespace"),
    "unknown namespace": (job_of(Namespace="nowhere"), "namespace"),
    "region": (job_of(Region="nowhere"), "region"),
    "template": (
        task_of(Templates=[{"DestPath": "../../x", "EmbeddedTmpl": "x"}]),
        "not supported yet",
    ),
    "artifact": (
        task_of(Artifacts=[{"GetterSource": "file:///etc/passwd", "RelativeDest": ".."}]),
        "not supported yet",
    ),
    "many rules": (job_of(Constraints=rule("=", "linux") * 20_000), "constraints"),
    "many regexps": (job_of(Constraints=[rule("regexp", str(n))[0] for n in range(200)]), "regexp"),
    "many ports": (
        group_of(Networks=[{"DynamicPorts": [{"Label": f"p{n}"} for n in range(2000)]}]),
        "ports",
    ),
    "many groups": (job_of(TaskGroups=[group_of()["TaskGroups"][0]] * 3000), "groups"),
}


@pytest.mark.parametrize("job", BAD_JOBS)
def test_a_bad_job_is_refused_with_the_fields_name(agent: Agent, job: str) -> None:
    body, text = BAD_JOBS[job]
    assert_refused(agent, "PUT", "/v1/jobs", {"Job": body}, text=text)


def raw(job: object = None) -> bytes:
    return json.dumps({"Job": job or job_of()}).encode()


BAD_BODIES = {
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "no job": b'{"Job":null}',
    "open brackets": b'{"Job":' + b"[" * DEEP,
    "brackets": b'{"Job":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "braces": b'{"Job":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
    "deep config": raw(task_of(Config={"x": "@"})).replace(b'"@"', b"[" * 900 + b"]" * 900),
    "invalid UTF-8": raw().replace(b'"bad"', b'"\xff\xfe"'),
    "an invalid key": raw().replace(b'"ID"', b'"I\xffD"'),
    "half a surrogate pair": raw().replace(b'"bad"', b'"bad\\ud800"'),
    "something behind": raw() + b"garbage",
    "NaN": b'{"Job":{"ID":"bad","Priority":NaN}}',
    "1e400": b'{"Job":{"ID":"bad","Priority":1e400}}',
    "a fraction": b'{"Job":{"ID":"bad","Priority":1.5}}',
    "2^63": b'{"Job":{"ID":"bad","Priority":9223372036854775808}}',
    "100,000 digits": b'{"Job":{"ID":"bad","Priority":' + b"9" * 100_000 + b"}}",
    "a key twice": b'{"Job":{"ID":"bad","ID":"worse"}}',
    "a key in two spellings": b'{"Job":{"ID":"bad","id":"worse"}}',
    "the job twice": b'{"Job":{"ID":"bad"},"Job":{"ID":"worse"}}',
    "20 MB": b'{"Job":{"ID":"' + b"a" * 20_000_000 + b'"}}',
}


@pytest.mark.parametrize("body", BAD_BODIES)
def test_a_body_that_is_no_request_is_refused(agent: Agent, body: str) -> None:
    for path in ("/v1/jobs", "/v1/job/bad/plan", "/v1/validate/job"):
        assert_refused(agent, "PUT", path, BAD_BODIES[body])


def hcl(inside: str) -> str:
    return f'job "bad" {{\n{inside}\n}}'


BAD_SOURCES = {
    "nothing": "",
    "no end": "job {",
    "NUL": hcl('name = "\0'),
    "two marks of byte order": "\ufeff\ufeff" + hcl(""),
    "lists": hcl("meta = " + "[" * DEEP + "]" * DEEP),
    "blocks": hcl('group "g" {\n' * 5000 + "}\n" * 5000),
    "parentheses": hcl("priority = " + "(" * DEEP + "1" + ")" * DEEP),
    "minus": hcl("priority = " + "-" * DEEP + "1"),
    "templates": hcl('name = "' + '${"' * 3000 + '"}' * 3000 + '"'),
    "an exponent": hcl("priority = 1e999999999"),
    "digits": hcl("priority = " + "9" * 100_000),
    "a power": hcl("priority = pow(99, pow(99, 99))"),
    "a range": hcl('meta {\na = join(",", range(100000000))\n}'),
    "a product": hcl("datacenters = [for x in setproduct(range(999), range(999)): x]"),
    "a width": hcl('name = format("%1000000000d", 1)'),
    "a file": hcl('name = file("/etc/passwd")'),
    "an argument twice": hcl("priority = 1\npriority = 2"),
    "doubling": 'locals {\na0 = "aaaaaaaaaa"\n'
    + "".join(f'a{n + 1} = "${{local.a{n}}}${{local.a{n}}}"\n' for n in range(40))
    + "}\n"
    + hcl("name = local.a40"),
    "dynamic blocks": hcl(
        'dynamic "group" {\nfor_each = range(1000)\nlabels = [group.value]\ncontent {\n'
        'dynamic "task" {\nfor_each = range(1000)\nlabels = [task.value]\ncontent {\n}\n}\n}\n}'
    ),
}


@pytest.mark.parametrize("source", BAD_SOURCES)
def test_a_bad_job_file_is_refused_with_the_place(agent: Agent, source: str) -> None:
    body = {"JobHCL": BAD_SOURCES[source], "Canonicalize": True}
    answer = assert_refused(agent, "POST", "/v1/jobs/parse", body)
    assert not BAD_SOURCES[source] or "input.hcl:" in answer.text
    assert "root:" not in answer.text


BAD_REQUESTS: dict[str, tuple[str, str, object]] = {
    **{
        f"filter {name}": ("GET", f"/v1/jobs?filter={quote(text)}", None)
        for name, text in {
            "half": "ID ==",
            "not": "not " * 1500 + 'ID == "a"',
            "parentheses": "(" * 800 + 'ID == "a"' + ")" * 800,
            "long": 'ID == "' + "a" * 9000 + '"',
            "regexp": 'ID matches "(((("',
            "large regexp": 'ID matches "(((a{999}){999}){999})"',
        }.items()
    },
    "filter field": ("GET", f"/v1/nodes?filter={quote('Bogus == 1')}", None),
    "per_page text": ("GET", "/v1/jobs?per_page=x", None),
    "per_page huge": ("GET", "/v1/jobs?per_page=99999999999999999999", None),
    "token": ("GET", "/v1/jobs?next_token=zzz", None),
    "NUL": ("GET", "/v1/jobs?prefix=%00", None),
    "index below": ("GET", "/v1/jobs?index=-1", None),
    "index huge": ("GET", "/v1/jobs?index=99999999999999999999999999", None),
    "wait": ("GET", "/v1/jobs?index=1&wait=" + "9" * 500 + "h", None),
    "stale": ("GET", "/v1/jobs?stale=maybe", None),
    "flag": ("DELETE", "/v1/job/bad?purge=maybe", None),
    "eval_priority": ("DELETE", "/v1/job/bad?eval_priority=101", None),
    "stop everywhere": ("DELETE", "/v1/job/bad?namespace=*", None),
    "register everywhere": ("PUT", "/v1/jobs?namespace=*", {"Job": job_of()}),
    "two namespaces": (
        "PUT",
        "/v1/jobs?namespace=default",
        {"Job": job_of(), "Namespace": "other"},
    ),
    "two jobs": ("PUT", "/v1/job/other", {"Job": job_of()}),
    "two jobs to plan": ("PUT", "/v1/job/other/plan", {"Job": job_of()}),
    "scale below": ("PUT", "/v1/job/bad/scale", {"Count": -1, "Target": {"Group": "g"}}),
    "eligibility": ("PUT", "/v1/node/@/eligibility", {"Eligibility": "bogus"}),
    "two nodes": ("PUT", "/v1/node/@/eligibility", {"NodeID": "x", "Eligibility": "eligible"}),
    "deadline": ("PUT", "/v1/node/@/drain", {"DrainSpec": {"Deadline": 2**63}}),
    "meta key": ("POST", "/v1/client/metadata", {"Meta": {"a b\x1b": "x"}}),
    "meta value": ("POST", "/v1/client/metadata", {"Meta": {"a": "x" * 100_000}}),
    "algorithm": ("PUT", "/v1/operator/scheduler/configuration", {"SchedulerAlgorithm": "\x1b"}),
    "fuzzy": ("POST", "/v1/search/fuzzy", {"Text": "a" * 100_000, "Context": "all"}),
    "context": ("POST", "/v1/search", {"Prefix": "a", "Context": "\x1b[2J"}),
    "topic": ("GET", "/v1/event/stream?topic=%1b%5b2J", None),
    "event index": ("GET", "/v1/event/stream?index=-1", None),
    "log level": ("GET", "/v1/agent/monitor?log_level=bogus", None),
    "join": ("PUT", "/v1/agent/join?address=169.254.169.254:80", None),
    "escape in a path": ("GET", "/v1/job/%1b%5b31m", None),
    "NUL in a path": ("GET", "/v1/job/%00", None),
    "no UTF-8 in a path": ("GET", "/v1/job/%ff%fe", None),
    "up": ("GET", "/v1/%2e%2e/%2e%2e/etc/passwd", None),
    "two slashes": ("GET", "//v1/jobs", None),
    "a long address": ("GET", "/v1/jobs?prefix=" + "a" * 20_000, None),
    **{f"method {m}": (m, "/v1/jobs", None) for m in ("DELETE", "PATCH", "TRACE", "FOO")},
    "write where one reads": ("PUT", "/v1/nodes", {}),
    "read where one writes": ("GET", "/v1/validate/job", None),
}


@pytest.mark.parametrize("request_name", BAD_REQUESTS)
def test_a_bad_request_is_refused(agent: Agent, request_name: str) -> None:
    method, path, body = BAD_REQUESTS[request_name]
    node_id = agent.get("/v1/nodes").json()[0]["ID"]
    assert_refused(agent, method, path.replace("@", node_id), body)


def test_a_page_of_another_site_changes_nothing(agent: Agent) -> None:
    before = state_of(agent)
    with closing(http.client.HTTPConnection("127.0.0.1", agent.ports["http"])) as connection:
        connection.request("PUT", "/v1/jobs", raw(), {"Origin": "http://elsewhere.example"})
        assert connection.getresponse().status == 403
    assert state_of(agent) == before


def test_a_regular_expression_that_others_backtrack_in_is_answered_at_once(agent: Agent) -> None:
    agent.run_job({**raw_exec_job("a" * 100, "exec true", count=0)})
    bomb = quote('ID matches "^(a+)+$" and ID matches "^(a|a)*b$"')
    assert prompt(agent, "GET", f"/v1/jobs?filter={bomb}").json() == []
    rules = rule("regexp", "^(l+|i+|.+)+y$")
    job = {**raw_exec_job("bad-regexp", "exec true"), "Constraints": rules}
    evaluation = agent.run_job(job)
    path = f"/v1/evaluation/{evaluation}"
    done = eventually(
        "the evaluation's end",
        lambda: (found := agent.get(path).json())["Status"] == "complete" and found,
    )
    assert done["FailedTGAllocs"]["g"]["NodesFiltered"] == 1
    agent.request("DELETE", "/v1/job/bad-regexp?purge=true")


def test_a_large_dry_run_holds_up_nobody(agent: Agent) -> None:
    group = group_of()["TaskGroups"][0]
    groups = [{**group, "Name": f"g{n}", "Count": 20} for n in range(1900)]
    body = {"Job": job_of(TaskGroups=groups, Datacenters=["nowhere"]), "Diff": True}
    with closing(http.client.HTTPConnection("127.0.0.1", agent.ports["http"])) as connection:
        connection.request("PUT", "/v1/job/bad/plan", json.dumps(body).encode())
        slowest_s = 0.0
        for _ in range(50):
            began = time.monotonic()
            assert agent.get("/v1/jobs").status == 200
            slowest_s = max(slowest_s, time.monotonic() - began)
        assert slowest_s < 1.5
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["Diff"]["TaskGroups"]) == 1900


LINKS = r"""
mkdir -p local
ln -s /etc/passwd local/absolute
ln -s ../../../../../../../../../etc/passwd local/relative
ln -s /etc local/folder
ln -s ../secrets local/mine
ln -s local/../../t/secrets/key local/way
ln -s loop local/loop
mkfifo local/fifo
echo hidden > secrets/key
echo '<script>alert(1)</script>' > local/page.html
printf '<html><script>alert(1)</script>\033[2J\n'
echo open > local/plain
exec sleep 1000
"""
#: What must not be read, however it is written.
ESCAPES = (
    "../../../../../../etc/passwd",
    "/../../../../../../etc/passwd",
    "t/local/../../../../../../../etc/passwd",
    "t/local/absolute",
    "t/local/relative",
    "t/local/folder/passwd",
    "t/local/mine/key",
    "t/local/way",
    "t/secrets/key",
    "t/./secrets//key",
    "t/secrets/",
    "T/../t/secrets/key",
    "t/local/../secrets/key",
    "t/local/loop",
    "t/local/fifo",
    "t/local/plain/../../secrets/key",
    "t/local/\0",
    "a" * 5000,
    "a/" * 2000,
    "..",
)
FILES = ("ls", "stat", "cat", "readat", "stream")


@pytest.fixture(scope="module")
def links(agent: Agent) -> Iterator[str]:
    """An allocation whose task has laid links to all sorts of places."""
    agent.run_job(raw_exec_job("bad-links", LINKS))
    (alloc,) = agent.running("bad-links", 1)
    path = f"/v1/client/fs/cat/{alloc['ID']}?path=t/local/plain"
    eventually("the links", lambda: agent.get(path).body == b"open\n")
    yield alloc["ID"]
    agent.request("DELETE", "/v1/job/bad-links?purge=true&no_shutdown_delay=true")


@pytest.mark.parametrize("endpoint", FILES)
def test_no_spelling_of_a_path_leaves_the_allocation_or_enters_its_secrets(
    agent: Agent, links: str, endpoint: str
) -> None:
    for path in ESCAPES:
        harmless = endpoint == "stat" and path in ("t/secrets/", "t/local/fifo")
        for encoded in {quote(path, safe="/"), quote(quote(path, safe=""), safe="")}:
            query = f"path={encoded}&offset=0&limit=10&follow=false"
            answer = prompt(agent, "GET", f"/v1/client/fs/{endpoint}/{links}?{query}")
            assert not re.search(b"hidden|root:", answer.body), path
            assert 400 <= answer.status < 500 or harmless, (path, answer.status, answer.body[:200])


@pytest.mark.parametrize("name", ["", "nope", "..", "../../etc", "x" * 5000, "%2e%2e%2f%2e%2e"])
def test_no_spelling_of_an_allocation_is_a_path(agent: Agent, links: str, name: str) -> None:
    del links
    for endpoint in FILES:
        target = f"/v1/client/fs/{endpoint}/{quote(name, safe='%')}?path=t&offset=0&limit=1"
        assert 400 <= prompt(agent, "GET", target).status < 500


@pytest.mark.parametrize("task", ["..", "../t", "t/../t", "*", "t\0", "t.stdout", "T"])
def test_no_spelling_of_a_task_is_a_path(agent: Agent, links: str, task: str) -> None:
    target = f"/v1/client/fs/logs/{links}?task={quote(task)}&type=stdout&plain=true"
    assert 400 <= prompt(agent, "GET", target).status < 500
    other = f"/v1/client/fs/logs/{links}?task=t&type={quote('../../t/secrets/key')}"
    assert prompt(agent, "GET", other).status == 400


def test_pages_that_tasks_write_are_not_shown_as_pages(agent: Agent, links: str) -> None:
    for target in (
        f"/v1/client/fs/cat/{links}?path=t/local/page.html",
        f"/v1/client/fs/readat/{links}?path=t/local/page.html&offset=0&limit=100",
        f"/v1/client/fs/logs/{links}?task=t&type=stdout&plain=true",
    ):
        answer = prompt(agent, "GET", target)
        assert b"<script>" in answer.body
        assert answer.headers["Content-Type"].split(";")[0] in (
            "text/plain",
            "application/octet-stream",
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def connect(agent: Agent) -> socket.socket:
    return socket.create_connection(("127.0.0.1", agent.ports["http"]), timeout=20)


def test_connections_that_say_nothing_are_closed_and_others_answered(agent: Agent) -> None:
    """Half-open, a head that never ends, a body that never comes, and answers never read."""
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(agent)) for _ in range(20)]
        for each in silent[10:]:
            each.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        bodies = [stack.enter_context(connect(agent)) for _ in range(10)]
        for each in bodies:
            each.sendall(b"PUT /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        readers = [stack.enter_context(connect(agent)) for _ in range(10)]
        for each in readers:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.sendall(b"GET /v1/metrics?format=prometheus HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        before = state_of(agent)
        for _ in range(20):
            assert prompt(agent, "GET", "/v1/jobs").status == 200
        assert state_of(agent) == before
        began = time.monotonic()
        for each in silent:
            while each.recv(4096):
                pass
        assert time.monotonic() - began < 15


def test_too_many_connections_are_told_so_and_leave_nothing_behind(agent: Agent) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(agent)) for _ in range(130)]
        told = 0
        for each in sockets:
            each.settimeout(0.01)
            try:
                told += each.recv(100).startswith(b"HTTP/1.1 429 ")
            except TimeoutError:
                continue
        assert told >= 25
    eventually("room again", lambda: agent.get("/v1/jobs").status == 200)


def memory_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0])


@pytest.mark.parametrize("head", [b"X-A: ", b"X-A: b\r\n", b"GET "], ids=["line", "lines", "start"])
def test_a_head_of_100_mb_is_cut_off(agent: Agent, head: bytes) -> None:
    assert agent.process is not None
    before = memory_kib(agent.process.pid)
    block = head * (65536 // len(head)) if head.endswith(b"\n") else head + b"a" * 65536
    sent = 0
    answer = b""
    with connect(agent) as connection:
        if not head.startswith(b"GET"):
            connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n")
        try:
            while sent < 100_000_000:
                sent += connection.send(block)
            answer = connection.recv(100)
        except OSError:
            pass
    assert sent < 20_000_000 or answer.startswith(b"HTTP/1.1 4")
    assert prompt(agent, "GET", "/v1/jobs").status == 200
    assert memory_kib(agent.process.pid) - before < 50_000


def broken(job: Job, how: str) -> bytes:
    """The stored form of a job that no registration would have let in."""
    (group,) = job.task_groups
    (task,) = group.tasks
    replace = msgspec.structs.replace
    match how:
        case "no resources":
            group = replace(group, tasks=(replace(task, resources=None),))
        case "no tasks":
            group = replace(group, tasks=())
        case "regexp":
            wrong = Constraint(l_target="${attr.kernel.name}", r_target="((((", operand="regexp")
            job = replace(job, constraints=(wrong,))
        case "operator":
            job = replace(job, constraints=(Constraint(l_target="x", operand="bogus"),))
        case "type":
            job = replace(job, type="bogus")
        case "count":
            group = replace(group, count=-(2**62))
        case _:
            return b"\x01\xc1 not a job"
    return codec.encode(replace(job, task_groups=(group,), job_modify_index=0))


def put_in_store(agent: Agent, etcdctl: Path, key: str, value: bytes) -> None:
    endpoint = f"http://127.0.0.1:{agent.ports['etcd_client']}"
    subprocess.run(
        [etcdctl, f"--endpoints={endpoint}", "put", key], input=value, check=True, timeout=20
    )


def test_stored_jobs_that_break_the_scheduler_are_set_aside(
    own_agent: Agent, etcd_binary: Path
) -> None:
    agent = own_agent.start()
    keys = Keys("global")
    ways = ("no resources", "no tasks", "regexp", "operator", "type", "count", "garbage")
    for way in ways:
        job_id = way.replace(" ", "-")
        agent.run_job(raw_exec_job(job_id, "exec sleep 1000", count=0))
        job = msgspec.convert(agent.get(f"/v1/job/{job_id}").json(), Job)
        etcdctl = etcd_binary.with_name("etcdctl")
        put_in_store(agent, etcdctl, keys.job("default", job_id), broken(job, way))
    for way in ways:
        prompt(agent, "PUT", f"/v1/job/{way.replace(' ', '-')}/evaluate")
    agent.run_job(raw_exec_job("sound", "exec sleep 1000"))
    agent.running("sound", 1)
    for path in ("/v1/jobs", "/v1/allocations", "/v1/evaluations", "/v1/jobs/statuses"):
        assert prompt(agent, "GET", path).status == 200
    agent.kill()
    agent.start()
    agent.running("sound", 1)
    agent.run_job(raw_exec_job("later", "exec sleep 1000"))
    agent.running("later", 1)
