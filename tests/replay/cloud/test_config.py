"""The cloud's settings and their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from replay.cloud import BedrockQuota, CloudConfig, read_config
from replay.cloud.config import DEFAULT_MODELS
from replay.errors import InputError


def write(folder: Path, text: str) -> Path:
    file = folder / "cloud.toml"
    file.write_text(text)
    return file


def test_a_config_survives_the_way_to_another_process(tmp_path: Path) -> None:
    config = CloudConfig(
        init="replayed", seed=7, bedrock_quotas={"amazon.*": BedrockQuota(10, None)}, state_dir=tmp_path
    )

    assert CloudConfig.from_json(config.to_json()) == config


def test_a_file_is_read_and_overridden(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        init = "replayed"
        keep_alive_s = 300
        [bedrock.models]
        "mistral.*" = "recordings/mistral.parquet"
        "amazon.nova-lite-*" = "claude-3-haiku"
        [bedrock.quotas."anthropic.*"]
        requests_per_minute = 100
        """,
    )

    config = read_config(file, seed=5, port=None)

    assert (config.init, config.keep_alive_s, config.seed, config.port) == ("replayed", 300, 5, 0)
    assert config.bedrock_models["mistral.*"] == str(tmp_path / "recordings/mistral.parquet")
    assert config.bedrock_models["amazon.nova-lite-*"] == "claude-3-haiku"
    assert set(DEFAULT_MODELS) < set(config.bedrock_models)
    assert config.bedrock_quotas == {"anthropic.*": BedrockQuota(requests_per_minute=100)}


def test_patterns_of_a_file_come_before_the_default_ones(tmp_path: Path) -> None:
    config = read_config(write(tmp_path, '[bedrock.models]\n"amazon.*" = "claude-3-haiku"\n'))

    assert next(iter(config.bedrock_models)) == "amazon.*"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keep_alive = 3", "unknown key 'keep_alive'"),
        ("keep_alive_s = 0", "keep_alive_s 0 must be a number above 0"),
        ("keep_alive_s = nan", "keep_alive_s nan must be"),
        ("keep_alive_s = true", "keep_alive_s True must be"),
        ('port = "x"', "port 'x' must be a port"),
        ("port = 70000", "port 70000 must be a port"),
        ("seed = -1", "seed -1 must be"),
        ('init = "fast"', "init 'fast' is not one of real, replayed"),
        ("account_concurrency = 0", "account_concurrency 0 must be"),
        ("bedrock = 3", "bedrock must be a table"),
        ("[bedrock]\nmodels = 3", "bedrock.models must be a table"),
        ("[bedrock]\nquotas = []", "bedrock.quotas must be a table"),
        ('[bedrock.quotas]\n"a" = 3', 'bedrock.quotas."a" must be a table'),
        ("[bedrock]\nmodel = 3", "unknown key 'model'"),
        ('[bedrock.models]\n"a" = 3', "profile 3 must be a name or a path"),
        ('[bedrock.quotas."a"]\nrequests_per_minute = 0', "requests_per_minute 0 must be"),
        ('[bedrock.quotas."a"]\nrpm = 1', "unknown key 'rpm'"),
        ("port = ", "not a readable TOML file"),
    ],
)
def test_a_mistake_in_a_file_is_one_line_that_names_it(tmp_path: Path, text: str, message: str) -> None:
    file = write(tmp_path, text)

    with pytest.raises(InputError) as caught:
        read_config(file)

    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: no such cloud config file"):
        read_config(tmp_path / "none.toml")
