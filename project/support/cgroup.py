"""CPU time and memory that the control groups of this process leave to it.

A container has one, as has a job of Slurm or a service of systemd. Limits may be set on any of the
groups above the process's own, and the tightest one holds. Both versions of control groups are
read. Files that are missing, or that hold no number, mean that there is no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


class MemoryLimit(NamedTuple):
    """A limit of memory in bytes, and what is left of it."""

    limit: int
    free: int


def cpu_quota() -> float | None:
    """How many cores of CPU time the process may use, None without a limit."""
    quotas = [quota for folder in _folders("cpu") if (quota := _quota(folder)) is not None]
    return min(quotas, default=None)


def memory_limits() -> list[MemoryLimit]:
    """Every limit of memory that holds for the process.

    Inactive file cache counts as free, since the kernel reclaims it before it kills a process.
    """
    limits = []
    for folder in _folders("memory"):
        limit = _first_number(folder, "memory.max", "memory.limit_in_bytes")
        high = _first_number(folder, "memory.high")  # above it, a process is slowed to a crawl
        used = _first_number(folder, "memory.current", "memory.usage_in_bytes")
        tightest = min((value for value in (limit, high) if value is not None), default=None)
        if tightest is not None and used is not None:
            free = tightest - max(0, used - _unused_cache(folder))
            limits.append(MemoryLimit(tightest, max(0, free)))
    return limits


def _folders(controller: str) -> Iterator[Path]:
    """The folders of the process's groups for a controller, from its own one to the root's.

    A container may see its own group as the root; then folders above do not exist.
    """
    try:
        lines = _MEMBERSHIP.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found = False
    # Lines such as "0::/user.slice/job" (version 2) and "4:cpu,cpuacct:/job" (version 1).
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        found = True
        top = _ROOT / controllers if controllers else _ROOT
        if controllers and not top.is_dir():
            top = _ROOT / controller
        folder = top / path.strip("/")
        yield folder
        while folder != top:
            folder = folder.parent
            yield folder
    if not found:
        yield _ROOT


def _quota(folder: Path) -> float | None:
    """The cores that one group allows, None without a limit."""
    try:
        # The group may use `quota` microseconds of CPU time in every `period` microseconds.
        quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # other version, or "max": no limit
        pass
    quota_1 = _first_number(folder, "cpu.cfs_quota_us")
    period_1 = _first_number(folder, "cpu.cfs_period_us")
    return quota_1 / period_1 if quota_1 and period_1 and quota_1 > 0 else None


def _unused_cache(folder: Path) -> int:
    """Bytes of inactive file cache of a group; 0 if they are unknown."""
    try:
        lines = (folder / "memory.stat").read_text(encoding="utf-8").splitlines()
        amounts = dict(line.split() for line in lines)
        return int(amounts.get("total_inactive_file", amounts.get("inactive_file", 0)))
    except (OSError, ValueError):
        return 0


def _first_number(folder: Path, *names: str) -> int | None:
    """The number in the first of these files that holds one."""
    for name in names:
        try:
            return int((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # missing, or "max"
            continue
    return None
