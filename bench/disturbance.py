"""How much of the machine other processes took while something was measured (Linux)."""

import os
import resource
import sys
import time


def _busy_seconds() -> float:
    """CPU time spent by everybody, and stolen by the hypervisor, since boot."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


class Disturbance:
    """Counts from construction on. Children count as our own once they have ended and been waited for."""

    def __init__(self):
        self._start = time.monotonic()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def cores(self) -> float:
        """Cores that others kept busy, on average."""
        elapsed = max(time.monotonic() - self._start, 1e-9)
        return max(0.0, (_busy_seconds() - self._busy) - (_own_seconds() - self._own)) / elapsed

    def warn(self) -> float:
        """Says on stderr when others took more than 5 % of a core; returns the cores that they took."""
        cores = self.cores()
        if cores > 0.05:
            print(
                f"warning: other processes kept {cores:.2f} of {os.cpu_count()} cores busy meanwhile; "
                "measure again on an idle machine",
                file=sys.stderr,
            )
        return cores
