"""Whose health an allocation's verdict is about."""

import pytest

from hanse.structs.allocation import Allocation, AllocStatus


@pytest.mark.parametrize(
    ("healthy_in", "deployment_id", "seen"),
    [("d", "d", True), ("c", "d", None), ("", "d", None), (None, "d", True), ("", "", True)],
)
def test_a_verdict_counts_for_the_deployment_it_is_about(
    healthy_in: str | None, deployment_id: str, seen: bool | None
) -> None:
    status = AllocStatus(alloc_id="a", healthy=True, healthy_in=healthy_in)
    allocation = Allocation(
        id="a", namespace="default", job_id="j", job_version=0, group="g", index=0,
        node_id="n", eval_id="e", deployment_id=deployment_id, client=status,
    )  # fmt: skip
    assert allocation.healthy is seen
