"""Answers that many readers of one state get alike.

When a write wakes a thousand blocking queries on one job, the first of them makes the answer and
the others send the same bytes. An answer is kept only as long as the state's revision stands
still, so it is never out of date, whatever it was made of.
"""

from __future__ import annotations

from region.api.endpoint import Answer, Call

ANSWERS_MAX = 64
#: Larger answers are rarely asked for twice within one revision.
ANSWER_BYTES_MAX = 1024 * 1024

#: Parameters that do not change what is answered.
_WITHOUT = frozenset({"index", "wait", "stale", "consistent", "pretty", "region"})

Key = tuple[str, ...]


class AnswerCache:
    """The answers of the latest revision."""

    def __init__(self) -> None:
        """Begin empty."""
        self._revision = -1
        self._answers: dict[Key, Answer] = {}

    def key(self, call: Call) -> Key:
        """What an answer depends on beside the state."""
        url = call.request.rel_url
        if not url.raw_query_string:
            return (url.raw_path,)
        rest = [
            part
            for part in url.raw_query_string.split("&")
            if part.partition("=")[0] not in _WITHOUT
        ]
        return (url.raw_path, *rest)

    def get(self, key: Key, revision: int) -> Answer | None:
        """The kept answer, if it was made at this very revision."""
        return self._answers.get(key) if revision == self._revision else None

    def put(self, key: Key, revision: int, answer: Answer) -> None:
        """Keep an answer; those of older revisions are dropped."""
        if not isinstance(answer.body, bytes) or len(answer.body) > ANSWER_BYTES_MAX:
            return
        if revision != self._revision:
            if revision < self._revision:
                return
            self._revision = revision
            self._answers.clear()
        if len(self._answers) < ANSWERS_MAX:
            self._answers[key] = answer
