"""Task events, worded for people and with the details that tools read. Pure."""

from __future__ import annotations

from hanse.driver import Exit
from hanse.durations import format_duration
from hanse.structs.taskstate import TaskEvent

#: How many events of a task are kept; older ones are dropped.
EVENTS_MAX = 10


def received(at_ns: int) -> TaskEvent:
    """The node has taken the task on."""
    return _event("Received", at_ns, "Task received by client")


def setup(at_ns: int, text: str) -> TaskEvent:
    """A stage before the start has begun."""
    return TaskEvent(
        type="Task Setup",
        time=at_ns,
        message=text,
        display_message=text,
        details={"message": text},
    )


def setup_failed(at_ns: int, problem: str, *, fails_task: bool) -> TaskEvent:
    """A stage before the start has failed."""
    return TaskEvent(
        type="Setup Failure",
        time=at_ns,
        display_message=problem,
        details={"setup_error": problem, "fails_task": _flag(fails_task)},
        setup_error=problem,
        fails_task=fails_task,
    )


def invalid(at_ns: int, problem: str) -> TaskEvent:
    """What the task asks for, every reference resolved, is not acceptable."""
    return TaskEvent(
        type="Failed Validation",
        time=at_ns,
        display_message=problem,
        details={"validation_error": problem, "fails_task": "true"},
        validation_error=problem,
        fails_task=True,
    )


def driver_failed(at_ns: int, problem: str) -> TaskEvent:
    """The driver could not start the task."""
    return TaskEvent(
        type="Driver Failure",
        time=at_ns,
        display_message=problem,
        details={"driver_error": problem},
        driver_error=problem,
    )


def driver_said(at_ns: int, message: str, details: dict[str, str]) -> TaskEvent:
    """The driver has something to say, such as the progress of a download."""
    return TaskEvent(
        type="Driver",
        time=at_ns,
        display_message=message,
        details={**details, "driver_message": message},
        driver_message=message,
    )


def started(at_ns: int) -> TaskEvent:
    """The task runs."""
    return _event("Started", at_ns, "Task started by client")


def terminated(at_ns: int, end: Exit) -> TaskEvent:
    """The task has ended, by itself or not."""
    parts = [f"Exit Code: {end.code}"]
    details = {"exit_code": str(end.code), "signal": str(end.signal)}
    if end.signal:
        parts.append(f"Signal: {end.signal}")
    message = end.error or ("OOM Killed" if end.oom_killed else "")
    if message:
        parts.append(f'Exit Message: "{message}"')
        details["exit_message"] = message
    details["oom_killed"] = _flag(end.oom_killed)
    return TaskEvent(
        type="Terminated",
        time=at_ns,
        message=message,
        display_message=", ".join(parts),
        details=details,
        exit_code=end.code,
        signal=end.signal,
    )


def restarting(at_ns: int, delay_ns: int, reason: str) -> TaskEvent:
    """The task will be started again, after a delay."""
    text = f"Starting again in {format_duration(delay_ns)}"
    return TaskEvent(
        type="Restarting",
        time=at_ns,
        display_message=f"{reason}. {text}" if reason else text,
        details={"start_delay": str(delay_ns), "restart_reason": reason},
        start_delay=delay_ns,
        restart_reason=reason,
    )


def not_restarting(at_ns: int, reason: str) -> TaskEvent:
    """The task stays as it ended."""
    return TaskEvent(
        type="Not Restarting",
        time=at_ns,
        display_message=reason,
        details={"restart_reason": reason, "fails_task": "true"},
        restart_reason=reason,
        fails_task=True,
    )


def restart_signaled(at_ns: int, reason: str) -> TaskEvent:
    """Somebody, or a failing check, wants the task restarted."""
    return TaskEvent(
        type="Restart Signaled",
        time=at_ns,
        display_message=reason,
        details={"restart_reason": reason},
        restart_reason=reason,
    )


def signaling(at_ns: int, signal: str, reason: str) -> TaskEvent:
    """A signal is being sent to the task."""
    text = f"Sending {signal}"
    return TaskEvent(
        type="Signaling",
        time=at_ns,
        display_message=f"{text}: {reason}" if reason else text,
        details={"task_signal": signal, "task_signal_reason": reason},
        task_signal=signal,
        task_signal_reason=reason,
    )


def killing(at_ns: int, timeout_ns: int, reason: str = "", problem: str = "") -> TaskEvent:
    """The task is being stopped; after `timeout_ns` by force."""
    text = f"Asked to stop; killed after {format_duration(timeout_ns)}"
    if problem:
        text = f"Could not be stopped: {problem}"
    elif reason:
        text = f"{reason}. {text}"
    details = {"kill_timeout": format_duration(timeout_ns)}
    if reason:
        details["kill_reason"] = reason
    if problem:
        details["kill_error"] = problem
    return TaskEvent(
        type="Killing",
        time=at_ns,
        display_message=text,
        details=details,
        kill_timeout_ns=timeout_ns,
        kill_reason=reason,
        kill_error=problem,
    )


def killed(at_ns: int) -> TaskEvent:
    """The task was stopped, as asked."""
    return _event("Killed", at_ns, "The task was stopped")


def waiting_for_shutdown(at_ns: int, delay_ns: int) -> TaskEvent:
    """Services are gone; the task gets this long to finish what it has begun."""
    text = f"Stopping in {format_duration(delay_ns)} (shutdown_delay)"
    return _event("Waiting for shutdown delay", at_ns, text)


def skipping_shutdown(at_ns: int) -> TaskEvent:
    """The shutdown delay is skipped on the user's word."""
    text = "Stopping without shutdown_delay, as asked"
    return _event("Skipping shutdown delay", at_ns, text)


def sibling_failed(at_ns: int, sibling: str) -> TaskEvent:
    """Another task of the group failed, so this one must go."""
    return TaskEvent(
        type="Sibling Task Failed",
        time=at_ns,
        display_message=f'Task "{sibling}" of the same group failed',
        details={"failed_sibling": sibling},
        failed_sibling=sibling,
    )


def leader_dead(at_ns: int) -> TaskEvent:
    """The group's leader has ended, so this one must go."""
    return _event("Leader Task Dead", at_ns, "The group's leader has ended")


def not_restored(at_ns: int, problem: str) -> TaskEvent:
    """The agent came back and the task it had started was gone."""
    return TaskEvent(
        type="Failed Restoring Task",
        time=at_ns,
        display_message=f"Not there any more when the agent came back: {problem}",
        details={"message": problem},
    )


def _event(kind: str, at_ns: int, text: str) -> TaskEvent:
    return TaskEvent(type=kind, time=at_ns, display_message=text)


def _flag(value: bool) -> str:
    return "true" if value else "false"
