"""Clients of AWS: what a message advises helps."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from replay.aws import make_client
from replay.canary.live_alias import quick_client
from replay.errors import InputError


@pytest.mark.parametrize("make", [make_client, quick_client])
def test_the_variable_that_is_to_be_set_is_one_that_the_sdk_reads(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(InputError, match="region") as caught:
        make("lambda", region=None, endpoint_url=None)
    named = re.search(r"set ([A-Z_]+)", str(caught.value))
    assert named is not None
    monkeypatch.setenv(named[1], "eu-west-1")
    assert make("lambda", region=None, endpoint_url=None).meta.region_name == "eu-west-1"
