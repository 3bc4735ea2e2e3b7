from __future__ import annotations

from pathlib import Path

import pytest

from simulator.client_policy import ClientPolicy, RetryBudget
from simulator.errors import ParameterError
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform, VersionSettings
from simulator.platform_file import platform_of, read_platform
from simulator.provisioned import ProvisionedChange, TargetTracking

WHOLE = """
account_concurrency: 500
gateway_timeout: 29s
keep_alive: 8m
requests_per_concurrency: null
suppressed_init: false
versions:
  baseline:
    provisioned: 2
    timeout: 20s
    model: {quota: haiku, max_tokens: 512, refusal: 20ms, retries: {mode: off}}
    target_tracking: {minimum: 1, maximum: 5, statistic: maximum}
  optimized:
    timeout_s: 15
    provisioned_changes: [{at: 10m, provisioned: 5}, {at: 1h, provisioned: 0}]
quotas:
  haiku: {requests_per_minute: 200, output_burndown: 5}
client: {timeout: 25s, max_attempts: 3, retry_on: [throttled], budget: {capacity: 50}}
"""


def test_a_whole_file_is_read_laid_over_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(WHOLE)
    assert read_platform(path) == Platform(
        account_concurrency=500,
        gateway_timeout_s=29.0,
        keep_alive_s=480.0,
        requests_per_concurrency=None,
        suppressed_init=False,
        versions={
            "baseline": VersionSettings(
                provisioned=2,
                timeout_s=20.0,
                model=ModelCall("haiku", 512, SdkRetries("off"), refusal_ms=20.0),
                target_tracking=TargetTracking(1, 5, statistic="maximum"),
            ),
            "optimized": VersionSettings(
                timeout_s=15.0,
                provisioned_changes=(ProvisionedChange(600.0, 5), ProvisionedChange(3600.0, 0)),
            ),
        },
        quotas={"haiku": ModelQuota(requests_per_minute=200.0, output_burndown=5.0)},
        client=ClientPolicy(timeout_s=25.0, max_attempts=3, retry_on=("throttled",), budget=RetryBudget(50.0)),
    )


def test_what_the_file_does_not_name_stays_as_in_the_base() -> None:
    base = Platform(
        versions={"baseline": VersionSettings(provisioned=3), "optimized": VersionSettings(memory_mb=512)},
        keep_alive_s=60.0,
    )
    read = platform_of({"versions": {"optimized": {"timeout": "5s"}}}, base)
    assert read == Platform(
        versions={
            "baseline": VersionSettings(provisioned=3),
            "optimized": VersionSettings(memory_mb=512, timeout_s=5.0),
        },
        keep_alive_s=60.0,
    )
    assert read.names == ("baseline", "optimized")


def test_versions_of_other_names_replace_those_of_the_base() -> None:
    assert platform_of({"versions": {"v7": None}}).names == ("v7",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keep_alive: 600", "keep_alive: 600 is not a duration; write it like 500ms, 30s or 10m"),
        ("keep_alive_s: soon", "keep_alive_s: 'soon' is not a number"),
        ("keep_alive: 5m\nkeep_alive_s: 300", "keep_alive_s: given twice, with its unit and without; keep one"),
        ("keep_alife: 5m", "keep_alife: unknown field; known are account_concurrency, client, gateway_burst"),
        ("account_concurrency: 1.5", "account_concurrency: 1.5 is not a whole number"),
        ("account_concurrency: true", "account_concurrency: True is not a whole number"),
        ("account_concurrency: null", "account_concurrency: None is not a whole number"),
        ("gateway_timeout: null", "gateway_timeout: None is not a duration"),
        ("gateway_timeout: 0s", "gateway_timeout_s=0.0 must be above 0"),
        ("[]", "the file: [] is not a mapping of fields"),
        ("", "the file: None is not a mapping of fields"),
        ("keep_alive: 5m\nkeep_alive: 6m", "line 2, column 1: 'keep_alive' is given twice"),
        ("versions: {a: ", "line 1, column 15: "),
        ("keep_alive: 2026-13-45", "the platform is not YAML (month must be in 1..12)"),
        ("versions: {a: {}, b: {}, c: {}}", "versions: 3 given (a, b, c); a weighted alias takes one or two"),
        ("versions: {baseline: {timeout: 901s}}", "versions.baseline: timeout_s=901 is above Lambda's limit of 900"),
        ("versions: {baseline: {memory: 64}}", "versions.baseline.memory: unknown field"),
        (
            "versions: {baseline: {model: {quota: m}}}",
            "versions.baseline.model.max_tokens: missing",
        ),
        (
            "versions: {baseline: {provisioned_changes: [{at: 5s, provisioned: some}]}}",
            "versions.baseline.provisioned_changes[0].provisioned: 'some' is not a whole number",
        ),
        (
            "versions: {baseline: {provisioned: 8}}\nreserved_concurrency: 5",
            "provisioned concurrency of 8 is above reserved_concurrency=5",
        ),
        ("quotas: {m: {requests_per_minute: 0}}", "quotas.m: requests_per_minute=0.0 must be 1 or more"),
        ("client: {jitter: some}", "client.jitter: 'some' is none of none, equal, full"),
        ("client: {max_attempts: 0}", "client.max_attempts=0 is outside 1 to 64"),
        ("client: {retry_on: throttled}", "client.retry_on: 'throttled' is not a list"),
    ],
)
def test_a_mistake_is_one_line_with_file_field_and_value(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        read_platform(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_version_may_be_written_like_the_other(tmp_path: Path) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(
        "versions:\n  baseline: &like {timeout: 20s, memory_mb: 512}\n  optimized: {<<: *like, timeout: 25s}\n"
    )
    assert read_platform(path).versions["optimized"] == VersionSettings(timeout_s=25.0, memory_mb=512)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"no\.yaml: cannot read the platform"):
        read_platform(tmp_path / "no.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ParameterError, match=r"binary\.yaml: the platform is not YAML"):
        read_platform(tmp_path / "binary.yaml")
