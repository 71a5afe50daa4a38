"""Measurements, and how they are read."""

from collections.abc import Callable

from aiohttp.test_utils import TestClient

from hanse import metrics
from hanse.metrics import GaugeValue, Metrics
from hanse.structs.allocation import Allocation
from hanse.structs.job import Job
from hanse.testing.agent import MemoryAgent
from hanse.testing.clock import HandClock
from hanse.testing.region import MemoryRegion


def test_an_interval_is_shown_once_it_is_complete() -> None:
    clock = HandClock()
    kept = Metrics(clock)
    for value in (1.0, 3.0):
        kept.sample("nomad.took", value, kind="a")
    kept.count("nomad.done", 5)
    assert kept.snapshot().samples[0].count == 2
    clock.advance(10)
    kept.sample("nomad.took", 100.0)
    shown = kept.snapshot()
    assert (shown.samples[0].mean, shown.samples[0].stddev) == (2.0, 1.0)
    assert shown.samples[0].labels == {"kind": "a"}
    assert (shown.counters[0].sum, shown.counters[0].rate) == (5.0, 0.5)
    assert shown.timestamp == "2023-11-14 22:13:20 +0000 UTC"


def test_prometheus_reads_running_totals() -> None:
    clock = HandClock()
    kept = Metrics(clock)
    kept.gauge("nomad.node-a.up", 1)
    kept.count("nomad.done", status='a"b')
    clock.advance(60)
    kept.count("nomad.done", status='a"b')
    for value in range(100):
        kept.sample("nomad.took", float(value))
    more = GaugeValue(name="nomad.more", value=2.5, labels={"host": "h"})
    lines = kept.prometheus([more]).splitlines()
    for line in (
        "# TYPE nomad_node_a_up gauge",
        "nomad_node_a_up 1.0",
        'nomad_more{host="h"} 2.5',
        'nomad_done{status="a\\"b"} 2.0',
        "# TYPE nomad_took summary",
        'nomad_took{quantile="0.5"} 50.0',
        "nomad_took_sum 4950.0",
        "nomad_took_count 100",
    ):
        assert line in lines


def test_the_number_of_series_is_bounded() -> None:
    kept = Metrics(HandClock())
    for number in range(metrics.SERIES_MAX + 10):
        kept.gauge("g", 1, n=str(number))
    assert len(kept.snapshot().gauges) == metrics.SERIES_MAX


async def test_the_api_shows_what_was_measured_and_what_the_state_says(
    region: MemoryRegion,
    agent: MemoryAgent,
    client: TestClient,
    job: Callable[..., Job],
    alloc: Callable[..., Allocation],
) -> None:
    region.state.put(job(), alloc(client=None))
    agent.metrics.gauge("nomad.client.up", 1)
    await client.get("/v1/jobs")
    shown = await (await client.get("/v1/metrics")).json()
    values = {item["Name"]: item["Value"] for item in shown["Gauges"]}
    assert values["nomad.client.up"] == 1
    assert (values["nomad.nomad.job_summary.starting"], values["nomad.nomad.allocs.lost"]) == (1, 0)
    (took,) = [item for item in shown["Samples"] if item["Labels"]["operation"] == "list_jobs"]
    assert took["Name"] == "nomad.agent.http.request"
    response = await client.get("/v1/metrics?format=prometheus")
    text = await response.text()
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    labels = 'job="web",namespace="default",task_group="g"'
    assert f"nomad_nomad_job_summary_starting{{{labels}}} 1.0" in text
    agent.prometheus = False
    assert (await client.get("/v1/metrics?format=prometheus")).status == 415
