"""Ten million readings through the time-series store: `python -m benchmarks.timeseries_store [URL]`.

232 loggers, one reading a minute for 30 days, in hourly messages. Projects them from a ledger into the embedded store,
or into the InfluxDB at URL, asks for 30 days of one logger, and compares everything with the ledger. Figures are of
this machine and its present load.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from coldchain.ledger.entries import Message
from coldchain.ledger.ledger import Ledger
from coldchain.pipeline import Step
from coldchain.readings import ChannelKey, ReadingBatch
from coldchain.settings import LedgerFile, Settings, Timeseries
from coldchain.timeseries.opening import file_of, opened
from coldchain.timeseries.reconciliation import reconcile
from coldchain.timeseries.retention import Kept
from coldchain.timeseries.store import downsampled

START_MS = 1_772_359_200_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
LOGGERS, DAYS, PER_MESSAGE = 232, 30, 60


def registry() -> str:
    """Every logger watches a place of its own."""
    rows = (
        f'[[logger]]\nid = "lg-{n}"\nlogging_interval = "1min"\n[[place]]\nid = "place-{n}"\nkind = "storage"\n'
        f'[[monitoring]]\nplace = "place-{n}"\nlogger = "lg-{n}"\nfrom = 2026-01-01T00:00:00Z\n'
        for n in range(LOGGERS)
    )
    return "".join(rows)


def fill(settings: Settings) -> int:
    """Write the month into a new ledger; how many readings."""
    random = np.random.default_rng(1)
    count = 0
    with Ledger.open(settings.ledger.path) as ledger:
        ledger.register("registry.toml", registry(), "benchmark", START_MS)
        for hour in range(DAYS * 24):
            at = START_MS + hour * HOUR_MS + MINUTE_MS * np.arange(1, PER_MESSAGE + 1, dtype=np.int64)
            now_ms = int(at[-1])
            batches = [
                ReadingBatch(
                    f"lg-{n}", "1", at, (5000 + 10 * random.integers(-30, 30, PER_MESSAGE)).astype(np.int32), now_ms
                )
                for n in range(LOGGERS)
            ]
            messages = [Message(now_ms, f"b/{batch.logger}", b"{}", (batch,)) for batch in batches]
            ledger.save(messages, Step(fresh=tuple(batches)), (), now_ms)
            count += LOGGERS * PER_MESSAGE
    return count


def timed_ms(act: Callable[[], object], times: int = 15) -> tuple[float, float]:
    """The best and the middle of several runs [ms], after one that does not count."""
    act()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        taken.append(1000 * (time.perf_counter() - began))
    return min(taken), statistics.median(taken)


def main() -> None:
    url = sys.argv[1] if len(sys.argv) > 1 else ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coldchain.db"
        settings = Settings(ledger=LedgerFile(path=path), timeseries=Timeseries(url=url, bucket="benchmark"))
        began = time.perf_counter()
        count = fill(settings)
        print(
            f"ledger       {count} readings, {path.stat().st_size / count:.1f} bytes a reading, "
            f"written in {time.perf_counter() - began:.0f} s"
        )
        with opened(settings) as found:
            began, busy = time.perf_counter(), time.process_time()
            while found.projector.run_pass():
                pass
            took, busy = time.perf_counter() - began, time.process_time() - busy
            print(
                f"projected    in {took:.0f} s, {count / took / 1e3:.0f} k readings/s ({busy:.0f} s of processor here)"
            )
            if not url:
                print(f"file         {file_of(settings).stat().st_size / count:.2f} bytes a reading with all hours")
            key, span = ChannelKey("lg-100", "1"), (START_MS, START_MS + DAYS * DAY_MS)
            assert len(found.store.readings(key, *span)) == DAYS * 1440
            store = found.store
            questions: dict[str, Callable[[], object]] = {
                "logger, every reading": lambda: store.readings(key, *span),
                "logger, by 5 min": lambda: downsampled(store, key, *span, 5 * MINUTE_MS),
                "logger, by 1 h": lambda: downsampled(store, key, *span, HOUR_MS),
                "logger, by 1 day": lambda: downsampled(store, key, *span, DAY_MS),
                "place, by 1 h": lambda: store.place_hours("place-100", *span),
            }
            for question, ask in questions.items():
                best, middle = timed_ms(ask)
                print(f"30 days of one {question:<24} best {best:6.1f} ms, median {middle:6.1f} ms")
            began = time.perf_counter()
            result = reconcile(found.projector, found.store, Kept())
            assert result.readings == count
            print(f"reconciled   in {time.perf_counter() - began:.0f} s: {len(result.differences)} differences")


if __name__ == "__main__":
    main()
