"""One region's control plane: state, scheduler, deployments, HTTP API."""
