"""Counts what happens at the doors, for a monitor to fetch as Prometheus text. Names and codes only."""

import threading
from collections import Counter


class Counters:
    """Counters with labels. Threads share them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, tuple[tuple[str, str], ...]]] = Counter()

    def add(self, counter: str, count: int = 1, **labels: str) -> None:
        """Count something."""
        with self._lock:
            self._counts[counter, tuple(sorted(labels.items()))] += count

    def counted(self, counter: str, **labels: str) -> int:
        """Return one counter; labels left out are summed over."""
        wanted = set(labels.items())
        with self._lock:
            return sum(count for (key, with_), count in self._counts.items() if key == counter and wanted <= set(with_))

    def text(self) -> str:
        """Return all counters as Prometheus reads them."""
        with self._lock:
            counts = sorted(self._counts.items())
        lines, named = [], set()
        for (name, labels), count in counts:
            if name not in named:
                named.add(name)
                lines.append(f"# TYPE dunlin_{name}_total counter")
            shown = ",".join(f'{key}="{value}"' for key, value in labels)
            lines.append(f"dunlin_{name}_total{{{shown}}} {count}" if shown else f"dunlin_{name}_total {count}")
        return "\n".join([*lines, ""])
