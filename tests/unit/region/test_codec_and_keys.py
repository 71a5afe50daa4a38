"""Stored values and the names of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.structs.evaluation import Evaluation
from hanse.structs.job import Job
from region.state.codec import Unreadable, decode, encode
from region.state.keys import Keys


def test_a_value_comes_back_as_it_was_small_or_large() -> None:
    for job in (Job(id="a"), Job(id="a", meta={f"k{i}": "v" * 50 for i in range(100)})):
        assert decode(Job, encode(job)) == job


def test_large_values_are_compressed() -> None:
    job = Job(id="a", meta={f"k{i}": "v" * 50 for i in range(100)})
    assert len(encode(job)) < 1500


@pytest.mark.parametrize(
    "stored",
    [b"", b"\x01", b"\x02", b"\x07rest", b"\x02not zstd", b"\x01\xc1", b"\x01\xa3abc"],
)
def test_what_cannot_be_read_is_said_to_be_unreadable(stored: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(Job, stored)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_unreadable(stored: bytes) -> None:
    try:
        decode(Evaluation, stored)
    except Unreadable:
        pass
    else:
        assert stored[:1] in (b"\x01", b"\x02")


def test_a_bomb_is_not_unpacked() -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor().compress(b"\0" * (65 * 1024 * 1024))
    with pytest.raises(Unreadable, match="claims"):
        decode(Job, b"\x02" + bomb)


def test_a_field_of_a_newer_version_is_skipped_and_one_of_an_older_is_its_default() -> None:
    import msgspec

    stored = b"\x01" + msgspec.msgpack.encode({"ID": "x", "FromTheFuture": 1})
    assert decode(Job, stored) == Job(id="x")


@given(namespace=st.text(min_size=1, max_size=20), job_id=st.text(min_size=1, max_size=40))
def test_keys_of_jobs_come_apart_again(namespace: str, job_id: str) -> None:
    try:
        namespace.encode()
        job_id.encode()
    except UnicodeEncodeError:
        return
    keys = Keys("eu-1")
    assert keys.split(keys.job(namespace, job_id)) == ("jobs", (namespace, job_id))
    family, parts = keys.split(keys.job_version(namespace, job_id, 7))
    assert (family, parts) == ("job-versions", (namespace, job_id, "00000007"))


def test_a_job_id_with_slashes_is_one_part() -> None:
    keys = Keys("global")
    assert keys.job("default", "a/b/../c") == "/hanse/global/jobs/default/a%2Fb%2F..%2Fc"
    assert not keys.job_versions("default", "a").startswith(keys.job_versions("default", "a/b"))


def test_regions_do_not_share_a_prefix() -> None:
    assert not Keys("eu").prefix.startswith(Keys("eu-1").prefix)
    assert not Keys("eu-1").prefix.startswith(Keys("eu").prefix)
