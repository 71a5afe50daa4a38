"""Functions on files. They work for a user's own job file only, relative to its folder.

A job file that came over the network gets an error from every one of them, also from those that
would not touch the disk, so that the same file means the same thing on every server.
"""

from __future__ import annotations

import base64
import os
import posixpath
import re
import stat
from pathlib import Path

from hanse.jobspec.evaluator import Scope
from hanse.jobspec.functions.base import FunctionFailed, Implementation, function, text
from hanse.jobspec.limits import FILE_BYTES_MAX, FILES_LISTED_MAX
from hanse.jobspec.values import STRING, SetValue, Value, string


def _allowed(run: Implementation) -> Implementation:
    def guarded(scope: Scope, *arguments: Value) -> Value:
        if scope.files is None:
            raise FunctionFailed("filesystem function disabled")
        return run(scope, *arguments)

    return guarded


def _resolve(scope: Scope, path: str) -> Path:
    if "\0" in path:
        raise FunctionFailed("a path cannot contain a null character")
    base = scope.files
    assert isinstance(base, Path)
    try:
        return base / Path(path).expanduser()
    except RuntimeError:
        raise FunctionFailed(f"failed to expand the home folder in {path}") from None


def _read(scope: Scope, path: str) -> bytes:
    full = _resolve(scope, path)
    try:
        with full.open("rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise FunctionFailed(f"{path} is not a regular file")
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise FunctionFailed(f"no file exists at {full}") from None
    except OSError as problem:
        raise FunctionFailed(f"failed to read {full}: {problem.strerror}") from None
    if len(content) > FILE_BYTES_MAX:
        raise FunctionFailed(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    return content


def _file(scope: Scope, path: str) -> Value:
    try:
        return string(_read(scope, path).decode())
    except UnicodeDecodeError:
        raise FunctionFailed(
            f"contents of {path} are not valid UTF-8; use the filebase64 function for binary files"
        ) from None


def _filebase64(scope: Scope, path: str) -> Value:
    return base64.b64encode(_read(scope, path)).decode()


def _fileexists(scope: Scope, path: str) -> Value:
    full = _resolve(scope, path)
    try:
        mode = full.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as problem:
        raise FunctionFailed(f"failed to stat {full}: {problem.strerror}") from None
    if not stat.S_ISREG(mode):
        raise FunctionFailed(f"{path} is not a regular file")
    return True


def _fileset(scope: Scope, path: str, pattern: str) -> Value:
    matches = _glob(pattern)
    base = _resolve(scope, path)
    found: list[Value] = []
    seen = 0
    for folder, folders, names in os.walk(base):
        folders.sort()
        scope.budget.check()
        for name in sorted(names):
            seen += 1
            if seen > FILES_LISTED_MAX:
                raise FunctionFailed(f"more than {FILES_LISTED_MAX} files are under {path}")
            full = Path(folder, name)
            relative = full.relative_to(base).as_posix()
            if matches.fullmatch(relative) and full.is_file():
                found.append(string(relative))
    return SetValue(STRING, found)


_GLOB_PART = re.compile(
    r"(?P<tree>\*\*/)|(?P<all>\*\*)|(?P<name>\*)|(?P<one>\?)|\[(?P<set>[^\]][^\]]*)\]"
    r"|(?P<open>\{)|(?P<close>\})|(?P<comma>,)|\\(?P<quoted>.)|(?P<char>[^\[\\])",
    re.DOTALL,
)
_GLOB_WORDS = {
    "tree": "(?:[^/]+/)*",
    "all": ".*",
    "name": "[^/]*",
    "one": "[^/]",
    "open": "(?:",
    "close": ")",
    "comma": "|",
}


def _glob(pattern: str) -> re.Pattern[str]:
    """The notation of doublestar: `*`, `**`, `?`, `[a-z]`, `[^a]`, `{a,b}` and backslashes."""
    pieces: list[str] = []
    position = depth = 0
    bad = FunctionFailed(f"failed to glob pattern ({pattern}): syntax error in pattern")
    while position < len(pattern):
        match = _GLOB_PART.match(pattern, position)
        if match is None:
            raise bad
        position = match.end()
        kind = match.lastgroup or ""
        depth += (kind == "open") - (kind == "close" and depth > 0)
        if kind == "set":
            inside = match[kind].replace("[", "\\[")
            pieces.append(f"[^/{inside[1:]}]" if inside[0] in "!^" else f"[{inside}]")
        elif kind in ("quoted", "char") or (kind in ("close", "comma") and not _in_braces(pieces)):
            pieces.append(re.escape(match[kind]))
        else:
            pieces.append(_GLOB_WORDS[kind])
    if depth:
        raise bad
    try:
        return re.compile("".join(pieces), re.DOTALL)
    except re.error:
        raise bad from None


def _in_braces(pieces: list[str]) -> bool:
    return pieces.count("(?:") > pieces.count(")")


def _abspath(scope: Scope, path: str) -> Value:
    return posixpath.normpath((Path.cwd() / path).as_posix()) if scope.files else path


def _pathexpand(_: Scope, path: str) -> Value:
    if path.startswith("~") and path[1:2] not in ("", "/"):
        raise FunctionFailed("cannot expand the home folder of another user")
    return os.path.expanduser(path)


def _basename(_: Scope, path: str) -> Value:
    trimmed = path.rstrip("/")
    if not trimmed:
        return "/" if path else "."
    return posixpath.basename(trimmed)


def _dirname(_: Scope, path: str) -> Value:
    head = path[: path.rfind("/") + 1]
    return "/" if head.strip("/") == "" and head else posixpath.normpath(head or ".")


FUNCTIONS = {
    name: function(_allowed(run), *map(text, names))
    for name, run, names in (
        ("abspath", _abspath, ("path",)),
        ("basename", _basename, ("path",)),
        ("dirname", _dirname, ("path",)),
        ("file", _file, ("path",)),
        ("filebase64", _filebase64, ("path",)),
        ("fileexists", _fileexists, ("path",)),
        ("fileset", _fileset, ("path", "pattern")),
        ("pathexpand", _pathexpand, ("path",)),
    )
}
