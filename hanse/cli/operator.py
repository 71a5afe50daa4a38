"""`hanse operator …` and `hanse system …`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from hanse.cli.command import Context, Failed
from hanse.cli.flags import UsageError
from hanse.cli.output import pretty, show_structured, wants_structured
from hanse.cli.tables import yes
from hanse.cli.text import pairs
from hanse.structs.api import PreemptionConfig, SchedulerConfiguration

_ALGORITHMS = ("binpack", "spread")
_PREEMPT = {
    "preempt-system-scheduler": "system_scheduler_enabled",
    "preempt-service-scheduler": "service_scheduler_enabled",
    "preempt-batch-scheduler": "batch_scheduler_enabled",
    "preempt-sysbatch-scheduler": "sys_batch_scheduler_enabled",
}
_SWITCHES = {
    "memory-oversubscription": "memory_oversubscription_enabled",
    "reject-job-registration": "reject_job_registration",
    "pause-eval-broker": "pause_eval_broker",
}


def collect_garbage(context: Context) -> int:
    """Forget what is over."""
    context.client.operator.collect_garbage()
    return 0


def metrics(context: Context) -> int:
    """Show an agent's metrics."""
    flags = context.flags
    kind = flags.text("format", "json")
    if kind not in ("json", "prometheus"):
        raise UsageError("-format takes json or prometheus")
    body = context.client.operator.metrics(prometheus=kind == "prometheus")
    if wants_structured(context):
        return show_structured(context, body)
    if kind == "json" and flags.on("pretty"):
        context.out(pretty(body))
    else:
        context.out(body.decode(errors="replace").rstrip("\n"))
    return 0


def get_scheduler(context: Context) -> int:
    """Show how the scheduler decides."""
    answer = context.client.operator.scheduler_config()
    if wants_structured(context):
        return show_structured(context, answer.body)
    config = answer.value.scheduler_config
    preempt = config.preemption_config
    rows = [
        ("Scheduler Algorithm", config.scheduler_algorithm),
        ("Memory Oversubscription", yes(config.memory_oversubscription_enabled)),
        ("Reject Job Registration", yes(config.reject_job_registration)),
        ("Pause Eval Broker", yes(config.pause_eval_broker)),
        ("Preemption System Scheduler", yes(preempt.system_scheduler_enabled)),
        ("Preemption Service Scheduler", yes(preempt.service_scheduler_enabled)),
        ("Preemption Batch Scheduler", yes(preempt.batch_scheduler_enabled)),
        ("Preemption SysBatch Scheduler", yes(preempt.sys_batch_scheduler_enabled)),
        ("Node Limit For Feasibility Checks", str(config.node_limit_for_feasibility_checks)),
        ("Modify Index", str(config.modify_index)),
    ]
    context.out(pairs(rows))
    return 0


def set_scheduler(context: Context) -> int:
    """Change how the scheduler decides; what is not named stays."""
    operator = context.client.operator
    config = changed(context, operator.scheduler_config().value.scheduler_config)
    index = context.flags.number("check-index")
    answer = operator.set_scheduler_config(config, check_index=index).value
    if not answer.updated:
        raise Failed("Scheduler configuration not updated: its modify index is another one by now")
    context.out("Scheduler configuration updated!")
    return 0


def changed(context: Context, config: SchedulerConfiguration) -> SchedulerConfiguration:
    """The configuration with what the flags say. Raises UsageError."""
    flags = context.flags
    algorithm = flags.text("scheduler-algorithm")
    if algorithm not in ("", *_ALGORITHMS):
        raise UsageError(f"-scheduler-algorithm takes {' or '.join(_ALGORITHMS)}")
    changes: dict[str, Any] = {"scheduler_algorithm": algorithm} if algorithm else {}
    changes |= {
        field: _truth(context, name) for name, field in _SWITCHES.items() if flags.given(name)
    }
    preempt: PreemptionConfig = msgspec.structs.replace(
        config.preemption_config,
        **{field: _truth(context, name) for name, field in _PREEMPT.items() if flags.given(name)},
    )
    if (limit := flags.number("node-limit-for-feasibility-checks")) is not None:
        changes["node_limit_for_feasibility_checks"] = limit
    return msgspec.structs.replace(config, preemption_config=preempt, **changes)


def _truth(context: Context, name: str) -> bool:
    text = context.flags.text(name)
    if text not in ("true", "false"):
        raise UsageError(f"-{name} takes true or false, not {text!r}")
    return text == "true"


def api(context: Context) -> int:
    """Call the API by hand."""
    from hanse.sdk.transport import target_of

    flags = context.flags
    body = _body(context)
    method = flags.text("X").upper() or ("GET" if body is None else "PUT")
    path = context.arguments[0]
    path = path if path.startswith("/") else f"/{path}"
    path = path if path.startswith("/v1/") else f"/v1{path}"
    headers = _headers(flags.texts("H"))
    settings = context.client.settings
    given = {
        "region": settings.region,
        "namespace": settings.namespace,
        "filter": flags.text("filter"),
    }
    base, _, query = path.partition("?")
    own = {part.partition("=")[0] for part in query.split("&")}
    more = target_of("", {key: value for key, value in given.items() if key not in own})
    target = path + (("&" if query else "?") + more[1:] if more else "")
    del base
    if flags.on("dryrun"):
        context.out(_curl(context, method, target, headers, body))
        return 0
    transport = context.client.transport
    if flags.on("verbose"):
        context.err(f"> {method} {target}")
    answer = transport.request(method, target, body=body, headers=headers)
    if flags.on("verbose"):
        context.err(f"< {answer.status}")
        for name, value in answer.headers.items():
            context.err(f"< {name}: {value}")
    if not 200 <= answer.status < 300:
        text = answer.body.decode(errors="replace").strip()
        raise Failed(f"{text} (HTTP {answer.status})")
    context.terminal.verbatim(answer.body)
    return 0


def _body(context: Context) -> bytes | None:
    data = context.flags.text("d")
    if not context.flags.given("d"):
        return None
    if data == "-":
        return context.terminal.in_stream.read().encode()
    if data.startswith("@"):
        try:
            return Path(data[1:]).read_bytes()
        except OSError as error:
            raise Failed(f"Error reading {data[1:]}: {error.strerror}") from error
    return data.encode()


def _headers(texts: tuple[str, ...]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise UsageError(f"-H takes 'Name: value', not {text!r}")
        headers[name.strip()] = value.strip()
    return headers


def _curl(
    context: Context, method: str, target: str, headers: dict[str, str], body: bytes | None
) -> str:
    import shlex

    settings = context.client.settings
    words = ["curl", "-X", method]
    if settings.address.startswith("unix://"):
        words += ["--unix-socket", settings.address.removeprefix("unix://")]
        base = "http://localhost"
    else:
        base = settings.address.rstrip("/")
    if settings.token:
        # The token itself does not belong on a screen or in a shell's history.
        words += ["-H", "X-Nomad-Token: ${HANSE_TOKEN}"]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    for flag, value in (
        ("--cacert", settings.ca_cert),
        ("--capath", settings.ca_path),
        ("--cert", settings.client_cert),
        ("--key", settings.client_key),
    ):
        words += [flag, value] if value else []
    words += ["--insecure"] if settings.tls_skip_verify else []
    words += ["--data-binary", body.decode(errors="replace")] if body is not None else []
    quoted = " ".join(shlex.quote(word) for word in (*words, base + target))
    return quoted.replace("'X-Nomad-Token: ${HANSE_TOKEN}'", '"X-Nomad-Token: ${HANSE_TOKEN}"')
