"""`hanse job init`."""

from __future__ import annotations

from pathlib import Path

from hanse.cli.command import Context, Failed
from hanse.errors import Unsupported

FILE_NAME = "example.nomad.hcl"

SHORT = """\
job "example" {
  group "cache" {
    network {
      port "db" {
        to = 6379
      }
    }

    service {
      name     = "redis-cache"
      port     = "db"
      provider = "nomad"

      check {
        name     = "alive"
        type     = "tcp"
        interval = "10s"
        timeout  = "2s"
      }
    }

    task "redis" {
      driver = "docker"

      config {
        image          = "redis:7"
        ports          = ["db"]
        auth_soft_fail = true
      }

      resources {
        cpu    = 500
        memory = 256
      }
    }
  }
}
"""

LONG = """\
# A job is what you ask Hanse to run. This one runs a single Redis in a container.
#
#   hanse job run example.nomad.hcl      start it, or update it after a change
#   hanse job plan example.nomad.hcl     see what a change would do
#   hanse job status example             see how it is getting on
#   hanse job stop example               stop it
job "example" {
  # "service" runs until it is stopped; "batch" runs until it has done its work.
  type = "service"

  # Where it may run. "*" is every datacenter of the region; names may have wildcards.
  datacenters = ["*"]

  # When the job changes, instances are replaced one at a time. Each must be healthy for ten
  # seconds before the next one follows; if one is not within five minutes, the old version
  # comes back.
  update {
    max_parallel      = 1
    min_healthy_time  = "10s"
    healthy_deadline  = "5m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  # The tasks of a group run together on one node. `count` is how many such nodes there are.
  group "cache" {
    count = 1

    # A port without a number is chosen for each instance; `to` is the port in the container.
    # `port "db" { static = 6379 }` takes that very port of the node.
    network {
      port "db" {
        to = 6379
      }
    }

    # Others find the instances by this name: hanse service info redis-cache.
    service {
      name     = "redis-cache"
      tags     = ["global", "cache"]
      port     = "db"
      provider = "nomad"

      # An instance counts as healthy while its port answers.
      check {
        name     = "alive"
        type     = "tcp"
        interval = "10s"
        timeout  = "2s"
      }
    }

    # A task that ends is started again on its node, twice in half an hour. After that the
    # instance has failed, and another one is placed somewhere else.
    restart {
      attempts = 2
      interval = "30m"
      delay    = "15s"
      mode     = "fail"
    }

    # Disk that the tasks of the group share, in MiB.
    ephemeral_disk {
      size = 300
    }

    task "redis" {
      driver = "docker"

      config {
        image = "redis:7"
        ports = ["db"]

        # Without credentials for the registry, pull as anybody may.
        auth_soft_fail = true
      }

      # Environment variables of the task. The port chosen is there as NOMAD_PORT_db.
      env {
        EXAMPLE = "hello"
      }

      # cpu in MHz, memory in MiB.
      resources {
        cpu    = 500
        memory = 256
      }

      # How much of its output is kept: files, and MiB in each.
      logs {
        max_files     = 10
        max_file_size = 15
      }

      # How long the task has to end by itself when it is stopped.
      kill_timeout = "20s"
    }
  }
}
"""


def run(context: Context) -> int:
    """Write an example job file."""
    flags = context.flags
    for name in ("connect", "template", "list-templates"):
        if flags.given(name):
            raise Unsupported([f"-{name}"])
    file = Path(context.argument(0, FILE_NAME))
    try:
        with file.open("x") as handle:
            handle.write(SHORT if flags.on("short") else LONG)
    except FileExistsError as error:
        raise Failed(f"Job file '{file}' already exists") from error
    except OSError as error:
        raise Failed(f"Failed to write '{file}': {error.strerror}") from error
    context.out(f"Example job file written to {file}")
    return 0
