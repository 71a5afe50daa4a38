"""`hanse agent` and what is about agents, servers and the region as a whole."""

from __future__ import annotations

from hanse.cli.command import Command
from hanse.cli.flags import Flag
from hanse.cli.table.shared import STRUCTURED, VERBOSE

_BOOL = "true|false"

AGENT_FLAGS = (
    Flag(
        "config",
        "A configuration file, or a folder of them; may be repeated, later ones win.",
        "texts",
        "path",
        complete="file",
    ),
    Flag("dev", "Server and client on this machine, on loopback; nothing is kept."),
    Flag("server", "Be a server."),
    Flag("client", "Be a client: run allocations."),
    Flag("bootstrap-expect", "How many servers the region starts with.", "int", "n"),
    Flag(
        "join",
        "The address of another server; may be repeated. The same as -retry-join.",
        "texts",
        "host:port",
    ),
    Flag(
        "retry-join",
        "The address of another server, tried until it answers; may be repeated.",
        "texts",
        "host:port",
    ),
    Flag("retry-interval", "The pause between two attempts to join (1s).", "duration", "duration"),
    Flag("retry-max", "End after so many attempts that met nobody; 0 is never.", "int", "n"),
    Flag("data-dir", "Where the agent keeps its state.", "text", "path", complete="file"),
    Flag("state-dir", "Where the client keeps its state.", "text", "path", complete="file"),
    Flag("alloc-dir", "Where allocations' folders are.", "text", "path", complete="file"),
    Flag("bind", "The address to listen on.", "text", "addr"),
    Flag("region", "The region's name.", "text", "name"),
    Flag("dc", "The datacenter's name.", "text", "name"),
    Flag("node", "This agent's name; the host's by default.", "text", "name"),
    Flag("node-class", "The class of the node.", "text", "name"),
    Flag("node-pool", "The pool of the node.", "text", "name"),
    Flag("servers", "Servers' addresses, divided by commas.", "text", "host:port,…"),
    Flag("meta", "Metadata of the node; may be repeated.", "texts", "key=value"),
    Flag("network-interface", "The interface whose address jobs get.", "text", "name"),
    Flag(
        "log-level",
        "TRACE, DEBUG, INFO, WARN or ERROR.",
        "text",
        "level",
        complete="TRACE DEBUG INFO WARN ERROR",
    ),
    Flag("log-json", "Log lines are JSON."),
)

#: Nomad's other flags of `agent`.
AGENT_NOT_YET = frozenset(
    "dev-connect dev-consul dev-vault encrypt raft-protocol rejoin "
    "alloc-mounts-dir host-volumes-dir host-volume-plugin-dir plugin-dir "
    "network-speed preferred-address-family client-intro-token log-include-location eventlog "
    "eventlog-level acl-enabled acl-replication-token consul-address consul-auth consul-token "
    "consul-ca-file consul-cert-file consul-key-file consul-ssl consul-verify-ssl "
    "consul-server-service-name consul-client-service-name consul-server-http-check-name "
    "consul-server-serf-check-name consul-server-rpc-check-name consul-client-http-check-name "
    "consul-auto-advertise consul-client-auto-join consul-server-auto-join "
    "consul-checks-use-advertise consul-client-failures-before-critical "
    "consul-client-failures-before-warning consul-server-failures-before-critical "
    "consul-server-failures-before-warning vault-enabled vault-address vault-namespace "
    "vault-create-from-role vault-ca-file vault-ca-path vault-cert-file vault-key-file "
    "vault-tls-skip-verify vault-tls-server-name".split()
)

COMMANDS = (
    Command(
        "agent",
        "Run an agent",
        "hanse.cli.agent:run",
        "",
        (0, 0),
        AGENT_FLAGS,
        "Runs a server, a client, or both, until it is told to stop. SIGTERM and SIGINT stop it; "
        "its tasks run on, except those of a -dev agent without a data_dir. SIGHUP reads the "
        "configuration again.",
        "hanse agent -dev\nhanse agent -config /etc/hanse.d",
        general=False,
        not_yet=AGENT_NOT_YET,
    ),
    Command(
        "agent-info",
        "Show what an agent says of itself",
        "hanse.cli.info:run",
        "",
        (0, 0),
        STRUCTURED,
        example="hanse agent-info",
    ),
    Command(
        "config validate",
        "Check configuration files of an agent",
        "hanse.cli.agent:validate",
        "<path>…",
        (1, None),
        (),
        "Each path is a file or a folder; they are merged as the agent does it.",
        "hanse config validate /etc/hanse.d",
        general=False,
        complete="file",
    ),
    Command(
        "monitor",
        "Follow an agent's log",
        "hanse.cli.monitor:run",
        "",
        (0, 0),
        (
            Flag(
                "log-level",
                "The least level shown (INFO).",
                "text",
                "level",
                complete="TRACE DEBUG INFO WARN ERROR",
            ),
            Flag("json", "Lines are JSON."),
            Flag("log-include-location", "Accepted; lines name the part that speaks in any case."),
            Flag("node-id", "The agent of this node.", "text", "id", complete="node"),
            Flag("server-id", "The agent of this server.", "text", "name"),
        ),
        example="hanse monitor -log-level debug",
    ),
    Command(
        "server members",
        "List the servers",
        "hanse.cli.server:members",
        "",
        (0, 0),
        (*STRUCTURED, VERBOSE, Flag("detailed", "The same as -verbose.")),
        example="hanse server members",
        aliases=("server-members",),
    ),
    Command(
        "server join",
        "Tell a server of others",
        "hanse.cli.server:join",
        "<address>…",
        (1, None),
        (),
        example="hanse server join 10.0.0.7:4648",
        aliases=("server-join",),
    ),
    Command(
        "server force-leave",
        "Declare a server gone",
        "hanse.cli.server:force_leave",
        "<name>",
        (1, 1),
        (Flag("prune", "Forget it at once."),),
        example="hanse server force-leave host7.global",
        aliases=("server-force-leave",),
    ),
    Command(
        "operator api",
        "Call the API by hand",
        "hanse.cli.operator:api",
        "<path>",
        (1, 1),
        (
            Flag("X", "The method; GET, or PUT when there is a body.", "text", "method"),
            Flag("d", "The body; '-' reads standard input, @path a file.", "text", "data"),
            Flag("H", "A header; may be repeated.", "texts", "key: value"),
            Flag("filter", "A filter expression.", "text", "expression"),
            Flag("dryrun", "Print the curl command instead."),
            Flag("verbose", "Show the request's and the answer's headers."),
        ),
        "Address, token, region and namespace are those of the other commands.",
        "hanse operator api /v1/jobs\nhanse operator api -X DELETE '/v1/job/example?purge=true'",
    ),
    Command(
        "operator scheduler get-config",
        "Show how the scheduler decides",
        "hanse.cli.operator:get_scheduler",
        "",
        (0, 0),
        STRUCTURED,
        example="hanse operator scheduler get-config",
    ),
    Command(
        "operator scheduler set-config",
        "Change how the scheduler decides",
        "hanse.cli.operator:set_scheduler",
        "",
        (0, 0),
        (
            Flag(
                "scheduler-algorithm",
                "binpack or spread.",
                "text",
                "name",
                complete="binpack spread",
            ),
            Flag("memory-oversubscription", "Honour memory_max.", "text", _BOOL),
            Flag("reject-job-registration", "Accept no jobs.", "text", _BOOL),
            Flag("pause-eval-broker", "Evaluate nothing.", "text", _BOOL),
            Flag("preempt-system-scheduler", "System jobs may evict.", "text", _BOOL),
            Flag("preempt-service-scheduler", "Service jobs may evict.", "text", _BOOL),
            Flag("preempt-batch-scheduler", "Batch jobs may evict.", "text", _BOOL),
            Flag("preempt-sysbatch-scheduler", "Sysbatch jobs may evict.", "text", _BOOL),
            Flag(
                "node-limit-for-feasibility-checks",
                "At most so many nodes are looked at for a placement; 0 is all.",
                "int",
                "n",
            ),
            Flag("check-index", "Only if the modify index is still this one.", "int", "n"),
        ),
        "What is not named stays as it is.",
        "hanse operator scheduler set-config -scheduler-algorithm spread",
    ),
    Command(
        "operator metrics",
        "Show an agent's metrics",
        "hanse.cli.operator:metrics",
        "",
        (0, 0),
        (
            Flag("pretty", "Indent the JSON."),
            Flag("format", "json or prometheus.", "text", "name", complete="json prometheus"),
            *STRUCTURED,
        ),
        example="hanse operator metrics -format prometheus",
    ),
    Command(
        "system gc",
        "Forget what is over, now",
        "hanse.cli.operator:collect_garbage",
        "",
        (0, 0),
        (),
        "Dead jobs, evaluations, allocations, deployments and nodes, whatever their age.",
        "hanse system gc",
    ),
    Command(
        "namespace list",
        "List namespaces",
        "hanse.cli.namespace:listing",
        "",
        (0, 0),
        STRUCTURED,
        example="hanse namespace list",
    ),
    Command(
        "namespace status",
        "Show a namespace",
        "hanse.cli.namespace:status",
        "<namespace>",
        (1, 1),
        STRUCTURED,
        example="hanse namespace status default",
        complete="namespace",
    ),
    Command(
        "namespace inspect",
        "Show a namespace as JSON",
        "hanse.cli.namespace:inspect",
        "<namespace>",
        (1, 1),
        STRUCTURED,
        example="hanse namespace inspect default",
        complete="namespace",
    ),
)
