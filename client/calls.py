"""Answers what servers ask of this node: files, logs, commands, measurements, restarts.

A call comes down the session; the answer is a stream of its own, so that large ones never hold up
heartbeats. When the server ends that stream (its user went away) the answer is given up.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import msgspec
import structlog

from client.allocrunner.runner import AllocRunner
from client.collect import collect_all
from client.files import describe, list_folder
from client.logs import read_file, read_log, stream_file
from client.measure import HostMeter, total_usage
from client.taskrunner import machine as task_machine
from client.taskrunner.runner import TaskRunner
from hanse.driver import Driver, ExecInput, Executes, Measures, Signals, TaskHandle
from hanse.errors import DriverFailed, HanseError, Invalid, NotFound, Unsupported
from hanse.log import LogHub, level_number
from hanse.rpc.codec import decoder, encode
from hanse.rpc.messages import (
    ANSWER,
    AllocRequest,
    AnswerEnd,
    AnswerFailed,
    AnswerStart,
    Call,
    CallInput,
    Chunk,
    ExecRequest,
    FileRequest,
    LogsRequest,
    MetaRequest,
    MonitorRequest,
)
from hanse.structs.stats import ResourceUsage

if TYPE_CHECKING:
    from client.agent import Client

log = structlog.get_logger(__name__)

Inputs = AsyncIterator[CallInput]
Answer = AsyncGenerator[bytes, None]
Handler = Callable[[bytes, Inputs], Answer]

_read_input: Callable[[bytes], CallInput] = decoder(CallInput)
_read_exec_input: Callable[[bytes], ExecInput] = decoder(ExecInput)
_json = msgspec.json.encode
#: How long the server may take to close an answer that is complete.
_CLOSE_S = 10.0


class Calls:
    """The methods of `hanse.rpc.messages.METHODS`."""

    def __init__(self, client: Client, log_hub: LogHub | None) -> None:
        """`log_hub` is where the agent's own log can be followed, if it can."""
        self._client = client
        self._log_hub = log_hub
        self._meter: HostMeter | None = None
        self._handlers: dict[str, Handler] = {
            "NodeStats": self._node_stats,
            "AllocStats": self._alloc_stats,
            "AllocChecks": self._alloc_checks,
            "RestartAlloc": self._restart,
            "SignalAlloc": self._signal,
            "CollectAlloc": self._collect,
            "CollectAll": self._collect_all,
            "ListFiles": self._list_files,
            "StatFile": self._stat_file,
            "ReadFile": self._read_file,
            "StreamFile": self._stream_file,
            "Logs": self._logs,
            "Exec": self._exec,
            "Monitor": self._monitor,
            "NodeMeta": self._node_meta,
        }

    async def answer(self, channel: grpc.aio.Channel, call: Call) -> None:
        """Answer one call on the connection it came from."""
        stream = channel.stream_stream(
            ANSWER, request_serializer=encode, response_deserializer=_read_input
        )()
        try:
            await stream.write(AnswerStart(call_id=call.id))
            await self._answer_while_wanted(stream, call)
            await stream.done_writing()
            async with asyncio.timeout(_CLOSE_S):
                await stream.code()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as error:
            log.debug("answer given up", method=call.method, error=str(error))
        finally:
            stream.cancel()

    async def _answer_while_wanted(self, stream: Any, call: Call) -> None:
        """Answer, but stop at once when the server has ended the stream."""
        async with asyncio.TaskGroup() as group:
            talking = group.create_task(self._speak(stream, call))
            over = group.create_task(_until_over(stream))
            await asyncio.wait({talking, over}, return_when=asyncio.FIRST_COMPLETED)
            talking.cancel()
            over.cancel()

    async def _speak(self, stream: Any, call: Call) -> None:
        try:
            try:
                async with aclosing(self.chunks(call.method, call.body, _inputs(stream))) as bodies:
                    async for body in bodies:
                        await stream.write(Chunk(body=body))
            except HanseError as error:
                await stream.write(AnswerFailed(kind=error.kind, text=str(error)))
            else:
                await stream.write(AnswerEnd())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            log.debug("answer given up", method=call.method, error=str(error))
        except Exception:
            log.exception("call broke", method=call.method)
            await stream.write(AnswerFailed(kind="unavailable", text="the node's agent failed"))

    def chunks(self, method: str, body: bytes, inputs: Inputs) -> Answer:
        """The pieces of the answer to a call. Raises HanseError, at once or on the way."""
        handler = self._handlers.get(method)
        if handler is None:
            raise Unsupported([f"call {method!r} to a node"])
        return handler(body, inputs)

    # Measurements.

    async def _node_stats(self, body: bytes, inputs: Inputs) -> Answer:
        if self._meter is None:
            resources = self._client.node.node_resources
            mhz = resources.cpu.cpu_shares if resources else 0
            self._meter = HostMeter(self._client.world.alloc_root, mhz)
        yield _json(await asyncio.to_thread(self._meter.measure))

    async def _alloc_stats(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, AllocRequest)
        runner = self._runner(asked.alloc_id)
        tasks = [runner.task(asked.task)] if asked.task else list(runner.tasks.values())
        found: dict[str, ResourceUsage] = {}
        for task in tasks:
            driver, handle = task.driver, task.machine.memory.handle
            if handle is not None and isinstance(driver, Measures):
                try:
                    found[task.name] = await driver.usage(handle)
                except DriverFailed as error:
                    log.debug("task not measured", task=task.name, error=str(error))
        yield _json(total_usage(found, self._client.clock.wall_ns()))

    async def _alloc_checks(self, body: bytes, inputs: Inputs) -> Answer:
        yield _json(self._runner(_read(body, AllocRequest).alloc_id).offering.results())

    # Doing something to tasks.

    async def _restart(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, AllocRequest)
        for task in self._living(asked):
            task.feed(task_machine.Restart("A user asked for a restart"))
        yield b"{}"

    async def _signal(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, AllocRequest)
        if not _is_signal(asked.signal):
            raise Invalid("signal", f'unknown signal "{asked.signal[:32]}"')
        for task in self._living(asked):
            driver, handle = _attached(task)
            if not driver.capabilities.send_signals or not isinstance(driver, Signals):
                raise Invalid("signal", f'driver "{driver.name}" cannot send signals')
            task.feed(task_machine.Signalled(asked.signal, "A user asked for it"))
            await driver.signal(handle, asked.signal)
        yield b"{}"

    async def _collect(self, body: bytes, inputs: Inputs) -> Answer:
        self._client.allocations.collect(_read(body, AllocRequest).alloc_id)
        yield b"{}"

    async def _collect_all(self, body: bytes, inputs: Inputs) -> Answer:
        collect_all(self._client)
        yield b"{}"

    async def _exec(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, ExecRequest)
        if not asked.command:
            raise Invalid("command", "is empty")
        driver, handle = _attached(self._runner(asked.alloc_id).task(asked.task))
        if not driver.capabilities.exec or not isinstance(driver, Executes):
            raise Invalid("task", f'driver "{driver.name}" cannot run further commands in a task')
        given = _exec_inputs(inputs)
        outputs = driver.exec(handle, asked.command, tty=asked.tty, inputs=given)
        try:
            async for output in outputs:
                yield encode(output)
        finally:
            # Closing it is what ends the command, should the user have gone away.
            if isinstance(outputs, AsyncGenerator):
                await outputs.aclose()

    # Files.

    async def _list_files(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, FileRequest)
        root = self._runner(asked.alloc_id).folders.root
        yield _json(await asyncio.to_thread(list_folder, root, asked.path))

    async def _stat_file(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, FileRequest)
        root = self._runner(asked.alloc_id).folders.root
        yield _json(await asyncio.to_thread(describe, root, asked.path))

    async def _read_file(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, FileRequest)
        root = self._runner(asked.alloc_id).folders.root
        _refuse_negative(offset=asked.offset, limit=asked.limit)
        async for data in read_file(root, asked.path, offset=asked.offset, limit=asked.limit):
            yield data

    async def _stream_file(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, FileRequest)
        root = self._runner(asked.alloc_id).folders.root
        _refuse_negative(offset=asked.offset, limit=asked.limit)
        async for frame in stream_file(root, asked, self._client.clock):
            yield encode(frame)

    async def _logs(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, LogsRequest)
        runner = self._runner(asked.alloc_id)
        _refuse_negative(offset=asked.offset)
        task = runner.tasks.get(asked.task)
        if task is None:
            raise Invalid("", f'unknown task name "{asked.task}"')
        memory = task.machine.memory
        begun = memory.attempt > 0 or memory.handle is not None or memory.state.started_at[:4] > "1"
        if not begun and not runner.machine.done:
            text = f'task "{asked.task}" not started yet. No logs available'
            raise NotFound("log", text=text)
        clock = self._client.clock
        async for frame in read_log(runner.folders.root, asked, lambda: task.machine.dead, clock):
            yield encode(frame)

    # The node.

    async def _node_meta(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, MetaRequest)
        if asked.changes:
            self._client.change_meta(asked.changes)
        yield _json(
            {
                "Meta": self._client.node.meta,
                "Dynamic": dict(self._client.meta),
                "Static": self._client.config.client.meta,
            }
        )

    async def _monitor(self, body: bytes, inputs: Inputs) -> Answer:
        asked = _read(body, MonitorRequest)
        hub = self._log_hub
        if hub is None:
            raise Unsupported(["following this agent's log"])
        try:
            level = level_number(asked.level)
        except ValueError as error:
            raise Invalid("log_level", str(error)) from error
        something = asyncio.Event()
        listener = hub.listen(level, something.set)
        try:
            while True:
                something.clear()
                for line in listener.take():
                    yield ((line.json if asked.json else line.text) + "\n").encode()
                await something.wait()
        finally:
            hub.leave(listener)

    # Finding what is meant.

    def _runner(self, alloc_id: str) -> AllocRunner:
        return self._client.allocations.get(alloc_id)

    def _living(self, asked: AllocRequest) -> list[TaskRunner]:
        """The task asked for, or all that run. Raises Invalid if there is none that runs."""
        runner = self._runner(asked.alloc_id)
        if asked.task:
            task = runner.task(asked.task)
            _attached(task)
            return [task]
        living = [t for t in runner.tasks.values() if t.machine.memory.handle is not None]
        if not living:
            raise Invalid("", "no task of the allocation is running")
        return living


def _attached(task: TaskRunner) -> tuple[Driver, TaskHandle]:
    """The driver and its handle of a task that runs. Raises Invalid if it does not."""
    driver, handle = task.driver, task.machine.memory.handle
    if driver is None or handle is None:
        raise Invalid("", f'task "{task.name}" is not running')
    return driver, handle


def _is_signal(name: str) -> bool:
    text = name.upper()
    if text.isascii() and text.isdigit():
        return len(text) < 4 and 0 < int(text) < signal.NSIG
    return (text if text.startswith("SIG") else f"SIG{text}") in signal.Signals.__members__


def _read(body: bytes, kind: type[Any]) -> Any:
    return decoder(kind)(body)


def _refuse_negative(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 0:
            raise Invalid(name, "must not be negative")


async def _inputs(stream: Any) -> Inputs:
    while isinstance(message := await stream.read(), CallInput):
        yield message


async def _exec_inputs(inputs: Inputs) -> AsyncIterator[ExecInput]:
    async for message in inputs:
        if message.body:
            yield _read_exec_input(message.body)
        if message.closed:
            yield ExecInput(close_stdin=True)
            return


async def _until_over(stream: Any) -> None:
    """Return when the server has ended the stream."""
    over = asyncio.Event()
    stream.add_done_callback(lambda _: over.set())
    await over.wait()
