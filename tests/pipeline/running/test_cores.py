"""Cores that a process may use, by files of control groups as Linux has them."""

import os

import pytest

from savs.pipeline.running import cores

CASES = {
    "a container": ("0::/", {"cpu.max": "400000 100000"}, 4),
    "a part of a core is left": ("0::/", {"cpu.max": "270000 100000"}, 2),
    "less than a core": ("0::/", {"cpu.max": "50000 100000"}, 1),
    "no limit": ("0::/", {"cpu.max": "max 100000"}, 12),
    "more than there are": ("0::/", {"cpu.max": "9900000 100000"}, 12),
    "a job of a scheduler": (
        "0::/system.slice/job7/step0",
        {"system.slice/job7/cpu.max": "300000 100000", "cpu.max": "max 100000"},
        3,
    ),
    "the least of several": (
        "0::/a/b",
        {"a/b/cpu.max": "500000 100000", "a/cpu.max": "200000 100000"},
        2,
    ),
    "a path that the container does not see": ("0::/docker/1f", {"cpu.max": "200000 100000"}, 2),
    "version 1": (
        "5:memory:/pod\n4:cpu,cpuacct:/pod\n0::/",
        {"cpu/pod/cpu.cfs_quota_us": "700000", "cpu/pod/cpu.cfs_period_us": "100000"},
        7,
    ),
    "version 1 without a limit": (
        "4:cpu,cpuacct:/",
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
        12,
    ),
    "no control groups": (None, {}, 12),
}


@pytest.mark.parametrize(("membership", "files", "expected"), CASES.values(), ids=CASES.keys())
def test_the_quota_of_a_container_counts(tmp_path, monkeypatch, membership, files, expected):
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "membership")
    if membership is not None:
        (tmp_path / "membership").write_text(membership + "\n")
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert cores.count_cores() == expected


def test_python_3_13_says_it_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "absent")
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert cores.count_cores() == 5
