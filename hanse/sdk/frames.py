"""Stream frames: pieces of a file as JSON objects one after the other, nothing between them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder

import msgspec

from hanse.sdk.transport import ApiError, Stream
from hanse.structs.stats import StreamFrame

#: A frame's payload is at most 64 KiB; in base64, with its names, it stays well under this.
_FRAME_CHARS_MAX = 1024 * 1024


class FrameReader:
    """Bytes in, frames out. An empty frame is a heartbeat and is left out."""

    def __init__(self) -> None:
        """Nothing was fed yet."""
        self._text = ""
        self._decoder = JSONDecoder()

    def feed(self, chunk: bytes) -> Iterator[StreamFrame]:
        """The frames that are complete now. Raises ApiError for what cannot be a frame."""
        # Frames are pure ASCII: the data is base64 and file names are escaped or replaced.
        self._text += chunk.decode("utf-8", errors="replace")
        while True:
            self._text = self._text.lstrip()
            if not self._text:
                return
            try:
                raw, end = self._decoder.raw_decode(self._text)
            except JSONDecodeError as error:
                if len(self._text) > _FRAME_CHARS_MAX or not self._text.startswith("{"):
                    raise ApiError(200, "the agent's stream cannot be understood") from error
                return
            self._text = self._text[end:]
            frame = msgspec.convert(raw, StreamFrame)
            if frame != StreamFrame():
                yield frame


def file_data(stream: Stream) -> Iterator[bytes]:
    """The bytes that the frames of a stream carry."""
    reader = FrameReader()
    for chunk in stream.chunks():
        for frame in reader.feed(chunk):
            if frame.data:
                yield b64decode(frame.data)
