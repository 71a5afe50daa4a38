"""`hanse alloc fs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hanse.cli.alloc_choice import choose_alloc
from hanse.cli.alloc_logs import show, tail_of
from hanse.cli.command import Context
from hanse.cli.text import ago, mebibytes, moment, table
from hanse.structs.stats import AllocFileInfo
from hanse.structs.times import parse_rfc3339

if TYPE_CHECKING:
    from hanse.sdk.transport import Stream


def run(context: Context) -> int:
    """List a folder of an allocation, or print a file."""
    from hanse.sdk.frames import file_data

    tail_of(context)
    alloc = choose_alloc(context)
    files, where = context.client.files, {"namespace": alloc.namespace}
    path = context.argument(1, "/")
    info = files.stat(alloc.id, path, **where).value
    if context.flags.on("stat") or info.is_dir:
        found = (info,) if context.flags.on("stat") else files.list(alloc.id, path, **where).value
        context.out(_listing(context, found, with_type=context.flags.on("stat")))
        return 0
    lines, size = tail_of(context)
    if not context.flags.on("f") and lines is None and size is None:
        with files.cat(alloc.id, path, **where) as stream:
            for chunk in stream.chunks():
                context.terminal.raw(chunk)
        return 0

    def read(*, follow: bool, offset: int, origin: str) -> Stream:
        return files.read_frames(
            alloc.id, path, follow=follow, offset=offset, origin=origin, **where
        )

    show(context, read, file_data)
    return 0


def _listing(context: Context, found: tuple[AllocFileInfo, ...], *, with_type: bool) -> str:
    people = context.flags.on("H")
    now_ns = context.now_ns()
    rows = []
    for info in found:
        at_ns = parse_rfc3339(info.mod_time)
        rows.append(
            [
                info.file_mode,
                mebibytes(info.size) if people else str(info.size),
                ago(at_ns, now_ns) if people else moment(at_ns),
                *([info.content_type] if with_type else []),
                info.name + ("/" if info.is_dir and not info.name.endswith("/") else ""),
            ]
        )
    header = ["Mode", "Size", "Modified Time", *(["Content Type"] if with_type else []), "Name"]
    return table(header, rows)
