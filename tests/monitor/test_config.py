"""The settings file: what overrides what, where each value is from, and one sentence for what is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from models.signals.errors import BadInput
from monitor.config import InForce, in_force
from monitor.config_keys import Keys
from monitor.config_uses import (
    appearance_of,
    broker_of,
    limits_of,
    recordings_of,
    security_of,
    sharing_of,
    sound_of,
)
from monitor.config_words import lines
from monitor.settings import RunSettings, with_model
from streams.sinks.mcap import Limits
from streams.transport.security import Sasl
from ui.sound.choice import SoundChoice
from ui.style.theme import theme_named

WHOLE = """
[broker]
url = "kafka://ward.example:9092"
prefix = "icu-"
partitions = 16
replication = 3
retention_hours = { alarms = 48, waves = 2.5 }
message_bytes = 2000000
[worker]
backend = "onnx"
precision = "fp32"
widest_estimate = 7
bundle = "models/icu"
[recorder]
folder = "/srv/recordings"
part_mb = 100
least_free_mb = 5000
[metrics]
port = 9200
[display]
theme = "light"
font_scale = 1.25
dpi = 141.5
full_screen = true
[sound]
volume = 30
beat_tone = false
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "ward.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_file_says_everything(tmp_path: Path) -> None:
    force = in_force(written(tmp_path, WHOLE), environment={})
    assert broker_of(force) == "kafka://ward.example:9092"
    sharing = sharing_of(force, {}, group="w", only_own=False)
    assert (sharing.prefix, sharing.partitions, sharing.group, sharing.only_own) == ("icu-", 16, "w", False)
    assert (sharing.kafka.replication, sharing.kafka.message_bytes) == (3, 2_000_000)
    assert sharing.kafka.topic_settings("waves")["retention.ms"] == "9000000"
    assert sharing.kafka.topic_settings("alarms")["retention.ms"] == "172800000"
    assert "retention.ms" not in sharing.kafka.topic_settings("beds")
    run = with_model(RunSettings(), force.keys.worker)
    assert (run.backend, run.precision, run.widest_mmhg) == ("onnx", "fp32", 7.0)
    assert run.bundle == tmp_path / "models" / "icu", "seen from where the file lies"
    assert recordings_of(force) == Path("/srv/recordings")
    assert (limits_of(force).part_bytes, limits_of(force).least_free_bytes) == (100 << 20, 5000 << 20)
    assert (force.keys.metrics.host, force.keys.metrics.port) == ("127.0.0.1", 9200)
    look = appearance_of(force)
    assert look["theme"].colour == theme_named("light").colour and look["theme"].sweep.dpi == 141.5
    assert (look["font_scale"], look["full_screen"]) == (1.25, True)
    assert sound_of(force) == SoundChoice(on=True, volume=30, beat_tone=False)


def test_without_a_file_the_defaults_hold_and_are_those_of_a_run() -> None:
    force = in_force(environment={})
    assert force.keys == Keys()
    assert set(force.origin.values()) == {"default"}
    assert with_model(RunSettings(), force.keys.worker) == RunSettings()
    assert limits_of(force) == Limits()
    assert sound_of(force) == SoundChoice()
    assert sharing_of(force, {}).kafka.retention_h == {"waves": 6.0}
    with pytest.raises(BadInput, match=r"found none; give --broker kafka://HOST:9092, or \[broker\] url"):
        broker_of(force)


def test_flags_override_the_environment_and_that_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    environment = {
        "VIGIL_CONFIG": str(path),
        "VIGIL_BROKER_PREFIX": "from-env-",
        "VIGIL_BROKER_PARTITIONS": "4",
        "VIGIL_BROKER_RETENTION_HOURS": "alarms=1, beds=2",
        "VIGIL_LOG_JSON": "true",
        "VIGIL_METRICS_PORT": "",
        "HOME": "/",
    }
    force = in_force(None, {"broker.partitions": 2, "broker.url": None, "worker.widest_estimate": "3"}, environment)
    broker = force.keys.broker
    assert (broker.partitions, broker.prefix, broker.replication) == (2, "from-env-", 3)
    assert broker.retention_hours == {"waves": 6.0, "alarms": 1.0, "beds": 2.0}
    assert force.keys.log.json and force.keys.worker.widest_estimate == 3.0
    assert force.keys.metrics.port == 9200, "an empty variable says nothing"
    assert force.origin["broker.partitions"] == "--partitions"
    assert force.origin["broker.prefix"] == "VIGIL_BROKER_PREFIX"
    assert force.origin["broker.url"] == str(path)
    assert force.origin["tls.ca"] == "default"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[broker]\nurll = "kafka://a:1"', r"a key of \[broker\] in .*ward\.toml, found 'urll'; did you mean url\?"),
        ("[brokers]", r"\[metrics\].* in .*ward\.toml, found \[brokers\]; did you mean \[broker\]\?"),
        ("url = 1", r"found \[url\]"),
        ("broker = 3", r"a section \[broker\]"),
        ('[broker]\npartitions = "8"', r"partitions of .*ward\.toml, found '8'"),
        ("[broker]\npartitions = 0", r"1 to 1000 in \[broker\] partitions"),
        ("[broker]\npartitions = 1.5", "a whole number"),
        ('[broker]\nretention_hours = { waves = "6 h" }', r"hours above 0 .*found {'waves': '6 h'}"),
        ("[broker]\nretention_hours = { wave = 6 }", r"of the topics beds, waves"),
        ("[broker]\nretention_hours = 6", r"by topic"),
        ('[broker]\nurl = "http://a"', r"a broker like kafka://HOST:9092 .* in \[broker\] url of .*ward\.toml"),
        ('[broker]\nprefix = "ward 7"', "letters, digits"),
        ('[recorder]\npart_mb = "1 GB"', r"of MiB, 1 to 1000000 in \[recorder\] part_mb"),
        ('[worker]\nprecision = "fp8"', "fp16, bf16"),
        ("[worker]\nwidest_estimate = 51", "0 to 50 mmHg"),
        ("[worker]\nwidest_estimate = nan", "0 to 50 mmHg"),
        ('[sasl]\nmechanism = "plain"', "one of PLAIN"),
        ('[sasl]\npassword = "x"', r"the password in VIGIL_SASL_PASSWORD, .* found it in .*ward\.toml"),
        ("[metrics]\nport = 70000", "a port"),
        ("[log]\njson = 1", "true or false"),
        ("[broker", "TOML in .*ward"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        in_force(written(tmp_path, text), environment={})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"VIGIL_BROKER_UR": "x"}, "found VIGIL_BROKER_UR; did you mean VIGIL_BROKER_URL?"),
        ({"VIGIL_METRICS_PORT": "tcp://10.0.0.1:9"}, "in VIGIL_METRICS_PORT, found 'tcp://10.0.0.1:9'"),
        ({"VIGIL_BROKER_RETENTION_HOURS": "6"}, "hours by topic in VIGIL_BROKER_RETENTION_HOURS"),
        ({"VIGIL_CONFIG": "/no/such/file.toml"}, "a settings file, found /no/such/file.toml"),
    ],
)
def test_what_is_wrong_in_the_environment_is_one_sentence(environment: dict[str, str], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        in_force(environment=environment)
    assert words in str(caught.value)


def test_a_wrong_flag_is_named() -> None:
    for key, value, flag in (
        ("broker.url", "http://x", "--broker"),
        ("broker.partitions", 0, "--partitions"),
        ("worker.widest_estimate", "wide", "--widest-estimate"),
        ("metrics.port", 70_000, "--metrics"),
    ):
        with pytest.raises(BadInput, match=f"in {flag}, found"):
            in_force(None, {key: value}, {})


def secured(**keys: dict[str, str]) -> Keys:
    found = in_force(
        environment={f"VIGIL_{s.upper()}_{n.upper()}": v for s, part in keys.items() for n, v in part.items()}
    )
    return found.keys  # fmt: skip


def test_the_password_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("of the file\n")
    keys = secured(sasl={"username": "nurse", "password_file": str(path)})
    assert security_of(keys, {}).sasl == Sasl("nurse", "of the file")
    assert security_of(keys, {"VIGIL_SASL_PASSWORD": "of the environment"}).sasl == Sasl("nurse", "of the environment")
    path.unlink()
    with pytest.raises(BadInput, match=r"password_file, found .*No such file"):
        security_of(keys, {})
    with pytest.raises(BadInput, match=r"the password of 'nurse', found none"):
        security_of(secured(sasl={"username": "nurse"}), {})


def test_a_password_never_goes_in_the_clear() -> None:
    secret = {"VIGIL_SASL_PASSWORD": "x"}
    sasl = {"username": "nurse", "mechanism": "PLAIN"}
    for url in ("kafka://far:9092", "kafka://far"):
        with pytest.raises(BadInput, match="on the way to far"):
            security_of(secured(sasl=sasl, broker={"url": url}), secret)
    assert security_of(secured(sasl=sasl, broker={"url": "kafka://localhost:9092"}), secret).sasl is not None
    assert security_of(secured(sasl=sasl, broker={"url": "kafka://far"}, tls={"ca": "system"}), secret).tls is not None


def test_half_of_tls_is_refused() -> None:
    for tls, words in (({"certificate": "a.pem"}, "ca beside"), ({"ca": "system", "key": "a.pem"}, "beside a key")):
        with pytest.raises(BadInput, match=words):
            security_of(secured(tls=tls), {})


def test_what_is_printed_is_a_settings_file_that_says_the_same(tmp_path: Path) -> None:
    force = in_force(written(tmp_path, WHOLE), {"log.json": True}, {"VIGIL_SASL_USERNAME": 'the "nurse"'})
    text = "\n".join(lines(force, {"VIGIL_SASL_PASSWORD": "hunter2"}))
    assert "hunter2" not in text and "# password: there, not shown" in text
    origins = {line.partition("=")[0].strip(): line.rpartition("# ")[2] for line in text.splitlines() if "=" in line}
    assert origins["json"] == "--log-json" and origins["username"] == "VIGIL_SASL_USERNAME"
    assert origins["url"] == str(tmp_path / "ward.toml") and origins["host"] == "default"
    tomllib.loads(text)
    again: InForce = in_force(written(tmp_path, text), environment={})
    assert again.keys == force.keys
