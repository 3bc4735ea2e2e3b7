"""What may stand in a file is named in the docs, and the files that the docs show can be read."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from replay.canary import plan as plans
from replay.canary.plan_file import plan_from_document
from replay.cloud.config import CloudConfig
from simulator.client_policy import ClientPolicy, RetryBudget
from simulator.model_policy import ModelCall, ModelQuota, SdkRetries
from simulator.platform import Platform, VersionSettings
from simulator.platform_file import platform_of
from simulator.provisioned import ProvisionedChange, TargetTracking
from simulator.trace import SCHEMA

DOCS = Path(__file__).parents[1] / "docs"
PLATFORM = (
    Platform, VersionSettings, ProvisionedChange, TargetTracking,
    ModelCall, SdkRetries, ModelQuota, ClientPolicy, RetryBudget,
)  # fmt: skip
PLAN = (plans.Plan, plans.Step, plans.ObjectiveSpec, plans.Gate, plans.Smoke, plans.Notify)


def section(page: str, title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def shown(text: str) -> str:
    return text.partition("```yaml\n")[2].partition("```")[0]


def unnamed(kinds: tuple[Any, ...], text: str) -> list[str]:
    """Give the fields that ``text`` does not name, as ``field:`` or in backticks; units are left out of a name."""
    names = [re.sub(r"_m?s$", "", each.name) for kind in kinds for each in fields(kind)]
    return [name for name in names if re.search(rf"\b{name}:|`{name}(`|:)", text) is None]


def test_the_platform_file() -> None:
    text = shown(section("model.md", "The files that say more"))
    platform_of(yaml.safe_load(text))
    assert unnamed(PLATFORM, text) == []
    defaults = "\n".join(line for line in text.splitlines() if re.match(r"[a-z_]+: ", line) and "unless" not in line)
    assert platform_of(yaml.safe_load(defaults)) == Platform()


def test_the_plan_of_a_canary() -> None:
    text = section("canary.md", "The plan")
    plan_from_document(yaml.safe_load(shown(text)))
    assert unnamed(PLAN, text) == []


@pytest.mark.parametrize(
    ("title", "names"),
    [
        ("The trace", list(SCHEMA)),
        ("The local cloud", [each.name.removeprefix("bedrock_") for each in fields(CloudConfig)]),
    ],
)
def test_columns_and_settings(title: str, names: list[str]) -> None:
    text = section("architecture.md", title)
    assert [name for name in names if f"`{name}`" not in text] == []
