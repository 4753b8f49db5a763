"""Real time-series servers as processes: each on ports and in a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from processes import eventually, free_port

INFLUXD_CONF = """
reporting-disabled = true
bind-address = "127.0.0.1:{backup}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
index-version = "tsi1"
wal-fsync-delay = "0s"
query-log-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
auth-enabled = {auth}
[monitor]
store-enabled = false
[subscriber]
enabled = false
"""


class _Server:
    """A process that can be killed and started again on the same port with the same data."""

    def __init__(self, folder: Path, program: str, port: int | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        found = shutil.which(program, path="/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin")
        assert found is not None, f"these tests need {program}"
        self._program = found

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *self.command()], stdout=log, stderr=log)
        eventually(self._answers, 30)

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/ping", timeout=1) as answer:  # noqa: S310 (http, this machine)
                return int(answer.status) < 300
        except (URLError, OSError):
            return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


class InfluxDB(_Server):
    """Debian's InfluxDB 1.6."""

    def __init__(self, folder: Path, *, auth: bool = False, port: int | None = None) -> None:
        super().__init__(folder, "influxd", port)
        conf = INFLUXD_CONF.format(folder=folder, port=self.port, backup=free_port(), auth=str(auth).lower())
        (folder / "influxdb.conf").write_text(conf, encoding="utf-8")
        self.start()

    def command(self) -> list[str]:
        return ["run", "-config", str(self._folder / "influxdb.conf")]


class VictoriaMetrics(_Server):
    """Debian's VictoriaMetrics."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "victoria-metrics")
        self.start()

    def command(self) -> list[str]:
        return [
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={self._folder / 'data'}",
            "-retentionPeriod=100y",
            "-loggerLevel=ERROR",
        ]
