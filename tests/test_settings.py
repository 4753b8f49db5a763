"""One Settings from a file and the environment; every mistake is named in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coldchain.errors import BadInput
from coldchain.settings import Settings, load_settings

Written = Callable[[str], Path]

EXAMPLE = Path(__file__).parents[1] / "deploy" / "settings.example.toml"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    def write(text: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def refusal(path: Path, environment: dict[str, str] | None = None) -> BadInput:
    with pytest.raises(BadInput) as caught:
        load_settings(path, environment or {})
    return caught.value


def test_an_empty_file_gives_the_defaults_with_files_beside_it(written: Written) -> None:
    path = written("")
    settings = load_settings(path, {})
    assert settings.mqtt.port == 1883
    assert settings.mqtt.topics == ("coldchain/v1/+/+/+/readings",)
    assert settings.alerts.mqtt_roles == ("supply-manager",)
    assert settings.smtp.host == ""
    assert settings.ledger.path == path.parent / "coldchain.db"
    assert settings.mqtt.ca_file is None


def test_paths_are_relative_to_the_settings_file_and_absolute_ones_stay(written: Written) -> None:
    path = written('[mqtt]\npassword_file = "secrets/mqtt"\n[ledger]\npath = "/var/lib/coldchain/a.db"\n')
    settings = load_settings(path, {})
    assert settings.mqtt.password_file == path.parent / "secrets/mqtt"
    assert settings.ledger.path == Path("/var/lib/coldchain/a.db")


def test_the_example_settings_are_valid() -> None:
    settings = load_settings(EXAMPLE, {})
    assert settings.mqtt.qos == 1


def test_an_unknown_key_is_refused_with_its_line_and_the_known_ones(written: Written) -> None:
    error = refusal(written('[mqtt]\nhost = "b"\nprot = 1883\n'))
    assert (error.line, error.key) == (3, "mqtt.prot")
    assert "port" in str(error)


def test_an_unknown_section_is_refused_with_its_line(written: Written) -> None:
    error = refusal(written('[mqtt]\nhost = "b"\n[mqqt]\nport = 1883\n'))
    assert (error.line, error.key) == (3, "mqqt")


def test_a_wrong_type_names_file_line_key_and_value(written: Written) -> None:
    path = written('[mqtt]\n\nport = "1883"\n')
    error = refusal(path)
    assert (error.file, error.line, error.key, error.value) == (str(path), 3, "mqtt.port", "1883")
    assert "integer" in error.problem


@pytest.mark.parametrize("value", ["0", "2", "true", '"1"'])
def test_any_qos_but_1_is_refused_with_the_reason(written: Written, value: str) -> None:
    error = refusal(written(f"[mqtt]\nqos = {value}\n"))
    assert (error.line, error.key) == (2, "mqtt.qos")
    assert "loses" in error.problem


def test_broken_toml_names_the_line(written: Written) -> None:
    assert refusal(written("[mqtt]\nport = \n")).line == 2


def test_a_missing_file_is_bad_input(tmp_path: Path) -> None:
    assert "cannot be read" in str(refusal(tmp_path / "none.toml"))


def test_the_environment_wins_over_the_file(written: Written) -> None:
    path = written('[mqtt]\nport = 1\nhost = "a"\n')
    environment = {
        "COLDCHAIN_MQTT_PORT": "8883",
        "COLDCHAIN_MQTT_HOST": "broker",
        "COLDCHAIN_SMTP_STARTTLS": "false",
        "COLDCHAIN_ALERTS_MQTT_ROLES": '["qp", "supply-manager"]',
        "COLDCHAIN_ALERTS_EMAIL": '{qp = ["qp@example.org"]}',
        "COLDCHAIN_MQTT_CA_FILE": "ca.pem",
        "COLDCHAINX_MQTT_PORT": "7",
        "PATH": "/bin",
    }
    settings = load_settings(path, environment)
    assert (settings.mqtt.port, settings.mqtt.host, settings.smtp.starttls) == (8883, "broker", False)
    assert settings.alerts.mqtt_roles == ("qp", "supply-manager")
    assert settings.alerts.email == {"qp": ("qp@example.org",)}
    assert settings.mqtt.ca_file == path.parent / "ca.pem"


def test_a_number_as_text_in_the_environment_stays_text_where_text_is_meant(written: Written) -> None:
    assert load_settings(written(""), {"COLDCHAIN_MQTT_USERNAME": "007"}).mqtt.username == "007"


def test_an_empty_variable_clears_a_file_name(written: Written) -> None:
    path = written('[mqtt]\nca_file = "ca.pem"\n')
    assert load_settings(path, {"COLDCHAIN_MQTT_CA_FILE": ""}).mqtt.ca_file is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COLDCHAIN_MQTT_PORT", "many"),
        ("COLDCHAIN_MQTT_PORT", "70000"),
        ("COLDCHAIN_MQTT_PROT", "1"),
        ("COLDCHAIN_MQTT_QOS", "2"),
        ("COLDCHAIN_MQTT_PORT", "1\nx = 2"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value(written: Written, name: str, value: str) -> None:
    error = refusal(written("[mqtt]\nport = 1\n"), {name: value})
    assert (error.file, error.key) == ("environment", name)


def test_one_address_under_two_roles_is_refused_because_blinding_could_not_hold(written: Written) -> None:
    error = refusal(written('[alerts.email]\nqp = ["A@x.org"]\nsite = ["a@x.org"]\n'))
    assert "a@x.org" in error.problem


@pytest.mark.parametrize("address", ["nobody", "a@b, c@d", "a b@c", "Qp <qp@x.org>", ""])
def test_only_plain_addresses_are_taken(written: Written, address: str) -> None:
    assert "address" in refusal(written(f'[alerts.email]\nqp = ["{address}"]\n')).problem


def test_a_role_that_could_widen_a_topic_is_refused(written: Written) -> None:
    assert "role" in refusal(written('[alerts]\nmqtt_roles = ["qp/#"]\n')).problem


def test_a_mail_password_without_encryption_is_refused(written: Written) -> None:
    text = '[smtp]\nhost = "m"\nsender = "a@b.c"\nusername = "u"\npassword_file = "p"\nstarttls = false\n'
    assert "starttls" in refusal(written(text)).problem


def test_a_mail_server_without_a_sender_is_refused_at_its_section(written: Written) -> None:
    error = refusal(written('[ledger]\npath = "x"\n[smtp]\nhost = "m"\n'))
    assert (error.line, error.key) == (3, "smtp")


@pytest.mark.parametrize("url", ["127.0.0.1:8086", "ftp://host", "http://", "http://ann:pass@host", "http://host?q=1"])
def test_a_time_series_server_is_named_by_a_plain_address_without_secrets(written: Written, url: str) -> None:
    error = refusal(written(f'[timeseries]\nurl = "{url}"\n'))
    assert (error.line, error.key) == (1, "timeseries")
    assert "http://127.0.0.1:8086" in error.problem


def test_one_setting_switches_the_time_series_store(written: Written) -> None:
    assert load_settings(written(""), {}).timeseries.url == ""
    said = load_settings(written('[timeseries]\nurl = "http://127.0.0.1:8086"\n'), {}).timeseries
    assert (said.bucket, said.raw_days, said.token_file) == ("coldchain", 1827, None)
    assert "bucket" in refusal(written('[timeseries]\nurl = "http://h"\nbucket = ""\n')).problem
    assert load_settings(written('[timeseries]\nbucket = ""\n'), {}).timeseries.url == ""


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().__setattr__("mqtt", None)
