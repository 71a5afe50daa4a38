"""The region's HTTP API: Nomad's `/v1`, over `region.server.Region`."""
