"""`hanse fmt`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hanse.cli.command import Context, Failed

if TYPE_CHECKING:
    from hanse.jobspec import JobspecError

_SUFFIXES = (".hcl", ".nomad")


def run(context: Context) -> int:
    """Format job files; with -check only say which are not in the form."""
    from hanse.jobspec import JobspecError, format_source

    flags = context.flags
    check = flags.on("check")
    if context.arguments == ["-"]:
        text = context.terminal.in_stream.read()
        try:
            after = format_source(text, "<stdin>")
        except JobspecError as error:
            _show(context, error)
            return 1
        if not check:
            context.terminal.raw(after.encode())
        return int(check and after != text)
    changed = failed = 0
    for file in files(context.arguments or ["."], recursive=flags.on("recursive")):
        try:
            before = file.read_bytes().decode()
            after = format_source(before, str(file))
        except (OSError, UnicodeDecodeError) as error:
            context.err(f"Error reading {file}: {error}")
            failed += 1
            continue
        except JobspecError as error:
            _show(context, error)
            failed += 1
            continue
        if after == before:
            continue
        changed += 1
        if flags.on("list", default=True):
            context.out(str(file))
        if check:
            continue
        if flags.on("write", default=True):
            _write(file, after)
        else:
            context.terminal.raw(after.encode())
    return 1 if failed or (check and changed) else 0


def _show(context: Context, error: JobspecError) -> None:
    color = context.terminal.color_err
    shown = "\n\n".join(found.render(color) for found in error.diagnostics)
    context.terminal.err_stream.write(shown + "\n")


def files(arguments: Sequence[str], *, recursive: bool) -> Iterator[Path]:
    """The job files that the arguments name, each folder's in order. Raises Failed."""
    for argument in arguments:
        path = Path(argument)
        if path.is_dir():
            found = path.rglob("*") if recursive else path.iterdir()
            yield from sorted(p for p in found if p.suffix in _SUFFIXES and p.is_file())
        elif not path.exists():
            raise Failed(f"{path}: no such file or folder")
        elif path.suffix not in _SUFFIXES:
            raise Failed(f"{path}: only {' and '.join(_SUFFIXES)} files are formatted")
        else:
            yield path


def _write(file: Path, text: str) -> None:
    """Replace a file's text as a whole: a crash leaves the old or the new, never a part."""
    draft = file.with_name(f".{file.name}.hanse-fmt")
    try:
        draft.write_bytes(text.encode())
        draft.chmod(file.stat().st_mode & 0o7777)
        os.replace(draft, file.resolve())
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Failed(f"Error writing {file}: {error.strerror}") from error
