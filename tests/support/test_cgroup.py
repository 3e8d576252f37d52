"""Limits of CPU time and memory: a container's, a batch job's, of both versions of cgroups."""

import pytest

from project.support import cgroup, machine

GIB = 2**30


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A function that writes the files of the process's groups."""
    monkeypatch.setattr(cgroup, "_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(cgroup, "_MEMBERSHIP", tmp_path / "membership")

    def write(membership, **files):
        (tmp_path / "membership").write_text(membership)
        for name, content in files.items():
            path = tmp_path / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    return write


def test_without_files_there_is_no_limit(groups):
    assert cgroup.memory_limits() == []
    assert cgroup.cpu_quota() is None
    groups("0::/\n", memory_dot_max="max\n", memory_dot_current="5\n", cpu_dot_max="max 100000\n")
    assert cgroup.memory_limits() == []
    assert cgroup.cpu_quota() is None


def test_a_limit_above_the_processs_own_group_holds(groups):
    groups(
        "0::/slurm/job_7/step\n",
        slurm__job_7__memory_dot_max=f"{4 * GIB}",
        slurm__job_7__memory_dot_current=f"{GIB}",
        slurm__job_7__step__memory_dot_max="max",
        slurm__job_7__step__memory_dot_current=f"{GIB}",
        slurm__job_7__cpu_dot_max="250000 100000",
    )

    assert cgroup.memory_limits() == [(4 * GIB, 3 * GIB)]
    assert cgroup.cpu_quota() == 2.5


def test_cached_files_count_as_free_and_more_use_than_allowed_as_none(groups):
    files = {"memory_dot_max": f"{4 * GIB}", "memory_dot_current": f"{4 * GIB}"}
    groups("0::/\n", **files, memory_dot_stat=f"anon {GIB}\ninactive_file {3 * GIB}\n")
    assert cgroup.memory_limits() == [(4 * GIB, 3 * GIB)]

    groups("0::/\n", memory_dot_current=f"{9 * GIB}", memory_dot_stat="inactive_file 0\n")
    assert cgroup.memory_limits() == [(4 * GIB, 0)]


def test_a_group_that_slows_its_processes_is_a_limit_too(groups):
    groups(
        "0::/\n",
        memory_dot_max="max",
        memory_dot_high=f"{2 * GIB}",
        memory_dot_current=f"{GIB}",
    )

    assert cgroup.memory_limits() == [(2 * GIB, GIB)]


def test_groups_of_version_1_are_read(groups):
    groups(
        "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n",
        memory__docker__abc__memory_dot_limit_in_bytes=f"{2 * GIB}",
        memory__docker__abc__memory_dot_usage_in_bytes=f"{GIB}",
        memory__docker__abc__memory_dot_stat=f"total_inactive_file {GIB // 2}\n",
        cpu__docker__abc__cpu_dot_cfs_quota_us="150000",
        cpu__docker__abc__cpu_dot_cfs_period_us="100000",
    )

    assert cgroup.memory_limits() == [(2 * GIB, GIB + GIB // 2)]
    assert cgroup.cpu_quota() == 1.5


def test_a_container_that_sees_its_own_group_as_the_root_has_its_limits(groups):
    # The path of the group is that of the host, and does not exist inside.
    groups(
        "4:memory:/docker/abc\n3:cpu:/docker/abc\n",
        memory__memory_dot_limit_in_bytes=f"{GIB}",
        memory__memory_dot_usage_in_bytes="0",
        cpu__cpu_dot_cfs_quota_us="-1",
        cpu__cpu_dot_cfs_period_us="100000",
    )

    assert cgroup.memory_limits() == [(GIB, GIB)]
    assert cgroup.cpu_quota() is None


def test_the_machine_has_no_more_than_its_groups_allow(groups):
    groups(
        "0::/\n",
        memory_dot_max=f"{GIB // 4}",
        memory_dot_current=f"{GIB // 8}",
        cpu_dot_max="20000 100000",
    )

    assert machine.memory() == (GIB // 4, GIB // 8)
    assert machine.cpu_cores() == 1
