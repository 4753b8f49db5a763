"""Mosquitto as it is shipped, to be killed."""

from __future__ import annotations

from pathlib import Path

from processes import Mosquitto

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto" / "mosquitto.conf"


class StoringBroker(Mosquitto):
    """Mosquitto with what the shipped file says of persistence, queues and packets; without TLS and passwords."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        said = [line.split() for line in SHIPPED.read_text(encoding="utf-8").splitlines() if line[:1].isalpha()]
        kept = {
            words[0]: words[1] for words in said if words[0].startswith(("persistence", "autosave", "max_", "set_tcp"))
        }
        del kept["max_qos"]  # belongs to its listeners
        assert {"persistence", "autosave_interval", "max_queued_messages", "max_inflight_messages"} <= kept.keys()
        kept["persistence_location"] = f"{folder}/"
        super().__init__(folder, "allow_anonymous true\n" + "".join(f"{key} {value}\n" for key, value in kept.items()))

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)
