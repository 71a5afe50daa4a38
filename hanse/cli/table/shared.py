"""Flags that many commands have."""

from __future__ import annotations

from hanse.cli.flags import Flag

GENERAL = (
    Flag(
        "address",
        "The agent's address: http://, https:// or unix://. HANSE_ADDR or NOMAD_ADDR; "
        "http://127.0.0.1:4646 by default.",
        "text",
        "addr",
    ),
    Flag(
        "region",
        "The region that requests go to. HANSE_REGION or NOMAD_REGION; the agent's own by default.",
        "text",
        "name",
    ),
    Flag(
        "namespace",
        "The namespace of jobs and what belongs to them. HANSE_NAMESPACE or NOMAD_NAMESPACE; "
        "'*' means all, where a list is asked for.",
        "text",
        "name",
        complete="namespace",
    ),
    Flag("token", "The ACL token. HANSE_TOKEN or NOMAD_TOKEN.", "text", "secret"),
    Flag("ca-cert", "A CA certificate file. HANSE_CACERT.", "text", "path", complete="file"),
    Flag("ca-path", "A folder of CA certificates. HANSE_CAPATH.", "text", "path", complete="file"),
    Flag("client-cert", "Our certificate. HANSE_CLIENT_CERT.", "text", "path", complete="file"),
    Flag("client-key", "Its key. HANSE_CLIENT_KEY.", "text", "path", complete="file"),
    Flag(
        "tls-server-name",
        "The name the agent's certificate must have. HANSE_TLS_SERVER_NAME.",
        "text",
        "name",
    ),
    Flag(
        "tls-skip-verify",
        "Accept any certificate. HANSE_SKIP_VERIFY.",
        alias="insecure",
    ),
)
COLORS = (
    Flag("no-color", "No colours. HANSE_CLI_NO_COLOR, NO_COLOR."),
    Flag("force-color", "Colours even where the output is no terminal. HANSE_CLI_FORCE_COLOR."),
)
VERBOSE = Flag("verbose", "Show ids and times in full, and more detail.")
JSON = Flag("json", "Print the API's JSON.")
TEMPLATE = Flag("t", "Format the API's JSON with a Go template.", "text", "template")
STRUCTURED = (JSON, TEMPLATE)
DETACH = Flag("detach", "Do not wait for the evaluation; print its id.")
YES = Flag("yes", "Answer yes to every question.")
PAGES = (
    Flag("filter", "Only what this expression holds for.", "text", "expression"),
    Flag("per-page", "Rows in a page.", "int", "n"),
    Flag("page-token", "Where the page begins; from the foot of the page before.", "text", "token"),
)
VARIABLES = (
    Flag("var", "The value of a variable of the job file; may be repeated.", "texts", "key=value"),
    Flag(
        "var-file",
        "A file with values of variables; may be repeated.",
        "texts",
        "path",
        complete="file",
    ),
    Flag("hcl2-strict", "Refuse variables that the job file does not declare (true by default)."),
)
