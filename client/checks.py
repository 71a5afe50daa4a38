"""Health checks of services: a pure verdict, and the probes over HTTP and TCP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from client.registrations import CheckPlan
from hanse.clock import Clock
from hanse.structs.service import CheckQueryResult, CheckRestart

if TYPE_CHECKING:
    import aiohttp

#: How much of an answer's body is read and shown.
OUTPUT_BYTES_MAX = 1024

#: Between the first two looks at a service that is starting; doubled each time.
_FIRST_PAUSE_S = 0.1

Status = Literal["pending", "success", "failure"]


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at the service found."""

    passed: bool
    output: str
    code: int = 0


class CheckState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one check. Times in Unix nanoseconds."""

    status: Status = "pending"
    probe: Probe = Probe(passed=False, output="no result yet")
    at_ns: int = 0
    passes: int = 0
    failures: int = 0
    #: Failures that count towards restarting the task.
    strikes: int = 0


def after_probe(
    plan: CheckPlan, state: CheckState, probe: Probe, *, started_ns: int, now_ns: int
) -> tuple[CheckState, bool]:
    """The state after a probe, and whether the task is to be restarted because of it.

    `started_ns` is when the task last started: failures in its grace time do not count.
    """
    passes = state.passes + 1 if probe.passed else 0
    failures = 0 if probe.passed else state.failures + 1
    status = state.status
    if passes > plan.check.success_before_passing:
        status = "success"
    elif failures > plan.check.failures_before_critical:
        status = "failure"
    rule: CheckRestart | None = plan.check.check_restart
    strikes = 0
    if rule is not None and rule.limit > 0 and not probe.passed:
        in_grace = now_ns < started_ns + rule.grace_ns
        strikes = 0 if in_grace else state.strikes + 1
    restart = rule is not None and 0 < rule.limit <= strikes
    after = CheckState(
        status=status,
        probe=probe,
        at_ns=now_ns,
        passes=passes,
        failures=failures,
        strikes=0 if restart else strikes,
    )
    return after, restart


def result_of(plan: CheckPlan, state: CheckState, group: str) -> CheckQueryResult:
    """The state as the API shows it."""
    return CheckQueryResult(
        id=plan.id,
        mode=plan.mode,
        status=state.status,
        status_code=state.probe.code,
        output=state.probe.output,
        timestamp=state.at_ns // 10**9,
        group=group,
        task=plan.task,
        service=plan.service,
        check=plan.name,
    )


class Prober:
    """Looks at services. One per agent; keeps no connection alive between looks."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Give up what is open."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def probe(self, plan: CheckPlan) -> Probe:
        """Look once. Never raises: a service that cannot be reached has failed."""
        try:
            async with asyncio.timeout(plan.timeout_s):
                match plan.check.type:
                    case "tcp":
                        return await self._tcp(plan)
                    case "http":
                        return await self._http(plan)
                    case other:
                        return Probe(passed=False, output=f'check type "{other}" is not supported')
        except TimeoutError:
            return Probe(passed=False, output=f"no answer within {plan.timeout_s:g} s")
        except (OSError, ValueError) as error:
            return Probe(passed=False, output=str(error))

    async def _tcp(self, plan: CheckPlan) -> Probe:
        _, writer = await asyncio.open_connection(plan.address, plan.port)
        writer.close()
        return Probe(passed=True, output="connected")

    async def _http(self, plan: CheckPlan) -> Probe:
        import aiohttp  # noqa: PLC0415 - takes a while, and many nodes have no HTTP check

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        check = plan.check
        scheme = "https" if check.protocol == "https" else "http"
        host = f"[{plan.address}]" if ":" in plan.address else plan.address
        path = plan.path if plan.path.startswith("/") else "/" + plan.path
        headers = [(key, value) for key, values in plan.header.items() for value in values]
        try:
            async with self._session.request(
                check.method or "GET",
                f"{scheme}://{host}:{plan.port}{path}",
                headers=headers,
                data=plan.body.encode() or None,
                ssl=_tls(check.tls_skip_verify),
                server_hostname=check.tls_server_name or None,
            ) as answer:
                body = await answer.content.read(OUTPUT_BYTES_MAX)
                passed = 200 <= answer.status < 300
                text = body.decode(errors="replace")
                output = f"{answer.status} {answer.reason}"
                if not passed and text:
                    output += f": {text}"
                return Probe(passed=passed, output=output, code=answer.status)
        except aiohttp.ClientError as error:
            return Probe(passed=False, output=str(error) or type(error).__name__)


def _tls(skip_verify: bool) -> ssl.SSLContext | bool:
    return not skip_verify


async def keep_checking(
    plan: CheckPlan, prober: Prober, clock: Clock, report: Callable[[Probe], None]
) -> None:
    """Look again and again, every interval.

    A service that is only starting is looked at more often until it passes for the first time:
    so a rollout need not wait an interval for it. What fails before one interval is over is not
    reported, because nobody asked for those looks.
    """
    begun = clock.now()
    pause_s = _FIRST_PAUSE_S
    while True:
        probe = await prober.probe(plan)
        rest_s = plan.interval_s - (clock.now() - begun)
        if probe.passed or rest_s <= 0:
            break
        await clock.sleep(min(pause_s, rest_s))
        pause_s *= 2
    while True:
        report(probe)
        await clock.sleep(plan.interval_s)
        probe = await prober.probe(plan)
