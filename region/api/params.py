"""Query parameters that many handlers declare."""

from __future__ import annotations

from region.api.endpoint import Param

NAMESPACE = Param("namespace", doc="Namespace; `default` when absent.")
NAMESPACES = Param("namespace", doc="Namespace; `*` is all of them, `default` when absent.")
PREFIX = Param("prefix", doc="Only objects whose ID begins so.")

READ = (
    Param("index", "integer", "Answer when the index is over this one.", minimum=0, maximum=2**63),
    Param("wait", doc="Answer after this time in any case, such as `10s`; at most `5m`."),
    Param("stale", "boolean", "Answer from whatever state this server has."),
    Param("pretty", "boolean", "Indent the answer."),
)
LIST = (
    Param(
        "per_page",
        "integer",
        "Entries of a page; 0 is all.",
        minimum=-(2**31) + 1,
        maximum=2**31 - 1,
    ),
    Param("next_token", doc="`X-Nomad-NextToken` of the page before."),
    Param("filter", doc="A go-bexpr expression on the whole object."),
    Param("reverse", "boolean", "The other way round."),
)
