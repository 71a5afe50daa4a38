"""A program beside a task, over a websocket: what goes in, what comes out, how it ended."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import msgspec

from hanse.errors import HanseError, Kind
from hanse.sdk.client import Client
from hanse.sdk.transport import Query
from hanse.sdk.websocket import CLOSE, Message, WebSocket

_NORMAL_CLOSE = (1000, 1005)


class ExecutionFailed(HanseError):
    """The program could not be run, or its end is not known."""

    kind: ClassVar[Kind] = "driver-failed"


class Output(NamedTuple):
    """Something the program did. `exit_code` is set once, at the end."""

    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int | None = None


class _Stream(msgspec.Struct):
    data: str = ""
    close: bool = False


class _Result(msgspec.Struct):
    exit_code: int = 0


class _Frame(msgspec.Struct):
    stdout: _Stream | None = None
    stderr: _Stream | None = None
    exited: bool = False
    result: _Result | None = None


class Execution:
    """One program. Close it in any case."""

    def __init__(self, websocket: WebSocket) -> None:
        """Made by `start`."""
        self.websocket = websocket

    @classmethod
    def start(
        cls,
        client: Client,
        alloc: str,
        task: str,
        command: Sequence[str],
        *,
        tty: bool,
        **query: Query,
    ) -> Execution:
        """Begin. Raises ApiError when the agent refuses, and Unreachable."""
        target = client.target(
            f"/v1/client/allocation/{alloc}/exec",
            {
                "task": task,
                "command": msgspec.json.encode(list(command)).decode(),
                "tty": "true" if tty else "false",
                **query,
            },
        )
        return cls(WebSocket.open(client.transport, target))

    def send_input(self, data: bytes) -> None:
        """Hand bytes to its standard input."""
        self._send({"stdin": {"data": b64encode(data).decode()}})

    def close_input(self) -> None:
        """Its standard input ends."""
        self._send({"stdin": {"close": True}})

    def resize(self, *, height: int, width: int) -> None:
        """Its terminal has this size now."""
        self._send({"tty_size": {"height": height, "width": width}})

    def heartbeat(self) -> None:
        """Say that we are still here; due every ten seconds."""
        self._send({})

    def _send(self, frame: dict[str, object]) -> None:
        self.websocket.send(msgspec.json.encode(frame))

    def receive(self) -> list[Output]:
        """What it did, after waiting for something. Raises ExecutionFailed."""
        outputs: list[Output] = []
        for message in self.websocket.receive():
            outputs += _outputs(message)
            if outputs and outputs[-1].exit_code is not None:
                # A close comes right behind it, and means nothing more.
                break
        return outputs

    def close(self) -> None:
        """Hang up."""
        self.websocket.close()


def _outputs(message: Message) -> list[Output]:
    if message.opcode == CLOSE:
        if message.close_code in _NORMAL_CLOSE:
            raise ExecutionFailed("the agent hung up before the program ended")
        raise ExecutionFailed(message.close_reason or f"closed with {message.close_code}")
    try:
        frame = msgspec.json.decode(message.payload, type=_Frame)
        outputs = [
            Output(stdout=b64decode(frame.stdout.data) if frame.stdout is not None else b""),
            Output(stderr=b64decode(frame.stderr.data) if frame.stderr is not None else b""),
        ]
    except (msgspec.MsgspecError, ValueError) as error:
        raise ExecutionFailed("the agent's frame cannot be understood") from error
    if frame.exited:
        code = frame.result.exit_code if frame.result is not None else 0
        outputs.append(Output(exit_code=code))
    return [output for output in outputs if output != Output()]
