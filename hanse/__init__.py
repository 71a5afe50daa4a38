"""Hanse: a federated multi-region workload orchestrator.

This package is what the others share and what users and plugin authors may import.
`region`, `federation`, `client` and `drivers` are private to the application.
"""

__version__ = "0.1.0"
