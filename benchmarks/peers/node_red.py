"""Node-RED: an MQTT input, a function node, an MQTT output, behind a real Mosquitto.

`node-red/` has the flow, the function and the versions; `make bench` installs them with npm into `.venv/node-red`. What
is counted is what node needs for a backlog that another process publishes at once, not the broker's share.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks import raw_publisher
from benchmarks.ingest import mosquitto
from benchmarks.peers import processes
from benchmarks.peers.job import Exposure, Exposures, Message, Run

HERE = Path(__file__).with_name("node-red")
INSTALLED = Path(__file__).parents[2] / ".venv/node-red/node_modules/node-red/red.js"
FUNCTION = (HERE / "exposure.js").read_text(encoding="utf-8")
CAREFUL = "    if (delta <= 0) return; // careful: too late, or a repetition\n"
assert CAREFUL in FUNCTION
AS_IT_ARRIVES = FUNCTION.replace(CAREFUL, "")
NODES = 4
ANSWER_WITHIN_S = 300.0


def contestant(function: str) -> Callable[[Sequence[Message], int], Run]:
    """Run the flow with this function."""

    def run(messages: Sequence[Message], _end_ms: int) -> Run:
        packets = [raw_publisher.message(n, one.topic, one.payload) for n, one in enumerate(messages)]
        packets.append(raw_publisher.message(len(packets), "coldchain/report", b"{}"))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            _write_flow(folder, function)
            with mosquitto(folder) as port:
                node, red = processes.program("node") or "node", str(INSTALLED.resolve())
                command = [node, red, "--settings", str(HERE / "settings.js"), "--userDir", str(folder), "flow.json"]
                environment = {"BROKER_PORT": str(port), "UI_PORT": str(processes.free_port())}
                with processes.running(command, folder, lambda: _is_connected(folder), environment) as pid:
                    return _measured(port, pid, packets)

    return run


def _write_flow(folder: Path, function: str) -> None:
    flow: list[dict[str, Any]] = json.loads((HERE / "flow.json").read_text(encoding="utf-8"))
    next(node for node in flow if node["type"] == "function")["func"] = function
    (folder / "flow.json").write_text(json.dumps(flow), encoding="utf-8")


def _is_connected(folder: Path) -> bool:
    return "Connected to broker" in (folder / "output.log").read_text(encoding="utf-8", errors="replace")


def _measured(port: int, pid: int, packets: Sequence[bytes]) -> Run:
    answers: list[bytes] = []
    answered, subscribed = threading.Event(), threading.Event()

    def take(_client: Client, _data: object, message: MQTTMessage) -> None:
        answers.append(bytes(message.payload))
        answered.set()

    client = Client(CallbackAPIVersion.VERSION2, "benchmark")
    client.on_message = take
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", port)
    client.subscribe("benchmark/exposures", qos=1)
    client.loop_start()
    try:
        if not subscribed.wait(ANSWER_WITHIN_S):
            raise processes.NoAnswer("the broker does not answer")
        began = processes.cpu_seconds(pid)
        publisher = raw_publisher.started(port, packets)
        if not answered.wait(ANSWER_WITHIN_S):
            raise processes.NoAnswer("Node-RED does not answer")
        took = processes.cpu_seconds(pid) - began
        publisher.join()
    finally:
        client.disconnect()
        client.loop_stop()
    return Run(_exposures(json.loads(answers[0])), took)


def _exposures(told: dict[str, dict[str, float]]) -> Exposures:
    return {logger: Exposure(round(sums["above"]), round(sums["known"]), sums["mkt"]) for logger, sums in told.items()}
