"""Traces in object storage: written to the local cloud's S3 with boto3, read as a user reads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import polars as pl
import pytest
from click.testing import CliRunner
from polars.testing import assert_frame_equal

from replay.cli import main
from replay.cloud import CloudConfig, LocalCloud
from replay.errors import InputError
from replay.storage import storage_options
from simulator.errors import TraceError
from simulator.trace import Trace, TraceMetadata, make_trace, write_trace
from simulator.trace_scan import scan_trace
from tests.simulator.worlds import World

ADDRESS = "s3://traces/day/baseline.parquet"


def a_trace() -> Trace:
    frame = pl.DataFrame(
        {
            "arrival_s": [row / 10 for row in range(3000)],
            "client_ms": [100.0 + row % 7 for row in range(3000)],
            "variant": ["baseline"] * 3000,
            "request_id": [f"r-{row}" for row in range(3000)],
        }
    )
    return make_trace(frame, TraceMetadata(source="test", notes={"a": "b"}))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    file = write_trace(a_trace(), tmp_path_factory.mktemp("traces") / "t.parquet")
    with LocalCloud(CloudConfig()) as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="traces")
        s3.upload_file(str(file), "traces", "day/baseline.parquet")
        yield dict(cloud.environment())


def test_all_of_it(stored: dict[str, str]) -> None:
    found = scan_trace(ADDRESS, storage_options=storage_options(stored)).collect()
    assert_frame_equal(found.frame, a_trace().frame)
    assert found.metadata == a_trace().metadata


def test_some_columns_and_rows(stored: dict[str, str]) -> None:
    lazy = scan_trace(ADDRESS, storage_options=storage_options(stored))
    found = lazy.collect(["client_ms"], pl.col("arrival_s") < 1.0)
    assert found.frame["client_ms"].to_list() == a_trace().frame["client_ms"][:10].to_list()
    assert found.frame["request_id"].null_count() == 10


def test_what_is_not_there(stored: dict[str, str]) -> None:
    with pytest.raises(TraceError, match=r"^s3://traces/nothing: not a readable Parquet trace") as caught:
        scan_trace("s3://traces/nothing", storage_options=storage_options(stored))
    assert "\n" not in str(caught.value)


def test_the_command_reads_an_address(stored: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from replay.cli import main; main()", "trace", "show", ADDRESS, "--json"]
    done = subprocess.run(
        command, env={**os.environ, **stored}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["file"], document["metadata"]["notes"]) == (ADDRESS, {"a": "b"})


def test_a_forecast_from_storage_is_that_from_files(
    stored: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stored.items():
        monkeypatch.setenv(name, value)
    recorded = World().record(2)
    s3 = boto3.client("s3", endpoint_url=stored["AWS_ENDPOINT_URL"])
    for name, trace in (("b.parquet", recorded.baseline), ("c.parquet", recorded.candidate)):
        s3.upload_file(str(write_trace(trace, tmp_path / name)), "traces", name)

    def forecast(folder: str) -> dict[str, object]:
        arguments = [
            "--baseline", f"{folder}/b.parquet", "--candidate", f"{folder}/c.parquet", "--keep-alive", "60",
            "--arrivals", f"{folder}/b.parquet", "--weight", "50%", "--replications", "40", "--burst", "0", "--json",
        ]  # fmt: skip
        found = CliRunner().invoke(main, ["forecast", *arguments], catch_exceptions=False)
        assert found.exit_code == 0, found.stderr
        document: dict[str, object] = json.loads(found.stdout)
        return document

    assert forecast("s3://traces") == forecast(str(tmp_path))


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_plain_http_is_for_loopback_only(name: str) -> None:
    assert storage_options({name: "http://127.0.0.1:4566"})["aws_allow_http"] == "true"
    assert "aws_allow_http" not in storage_options({name: "https://s3.example.com"})
    with pytest.raises(InputError, match=rf"^{name}=http://s3\.example\.com: plain HTTP is for loopback only"):
        storage_options({name: "http://s3.example.com"})


@pytest.mark.parametrize("address", ["localhost:4566", "127.0.0.1:4566", "http://[::1", "http://", "ftp://localhost"])
def test_an_endpoint_that_is_no_address_is_one_line(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    done = CliRunner().invoke(main, ["trace", "show", ADDRESS])
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"error: AWS_ENDPOINT_URL={address}: not an address")


def test_region_and_keys() -> None:
    options = storage_options({"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SESSION_TOKEN": ""})
    assert (options["aws_region"], options["aws_access_key_id"]) == ("eu-central-1", "k")
    assert "aws_session_token" not in options
