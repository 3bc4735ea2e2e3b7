"""Budgets: moto's, with who is told, and tags; Terraform reads both back after it made a budget."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

from moto.budgets import urls as budgets_urls
from moto.budgets.models import BudgetsBackend
from moto.budgets.responses import BudgetsResponse

from replay.cloud.control_plane.extension import addresses


class ExtendedBudgetsBackend(BudgetsBackend):
    """Moto's Budgets, extended."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.tags: dict[str, dict[str, str]] = {}

    @property
    def _url_module(self) -> SimpleNamespace:
        return addresses(budgets_urls, BudgetsResponse, ExtendedBudgetsResponse)

    def subscribers(self, account_id: str, budget_name: str, notification: dict[str, Any]) -> list[dict[str, Any]]:
        """Give who is told of a notification; the same fields name the same one, in whatever state it is."""

        def named(details: dict[str, Any]) -> tuple[object, ...]:
            names = ("NotificationType", "ComparisonOperator", "ThresholdType")
            return (*(details.get(name) for name in names), float(details.get("Threshold", 0)))

        for known in self.budgets[account_id][budget_name].notifications:
            if named(known.details) == named(notification):
                return cast("list[dict[str, Any]]", known.subscribers)
        return []


class ExtendedBudgetsResponse(BudgetsResponse):
    """Moto's Budgets actions with ours."""

    @property
    def _extended(self) -> ExtendedBudgetsBackend:
        return cast("ExtendedBudgetsBackend", self.backend)

    def describe_subscribers_for_notification(self) -> str:
        """``DescribeSubscribersForNotification``."""
        found = self._extended.subscribers(
            self._get_param("AccountId"), self._get_param("BudgetName"), self._get_param("Notification")
        )
        return json.dumps({"Subscribers": found})

    def create_budget(self) -> str:
        """``CreateBudget`` with ``ResourceTags``."""
        answer: str = super().create_budget()
        account, name = self._get_param("AccountId"), self._get_param("Budget")["BudgetName"]
        self._tag(f"arn:aws:budgets::{account}:budget/{name}", self._get_param("ResourceTags") or [])
        return answer

    def list_tags_for_resource(self) -> str:
        """``ListTagsForResource``."""
        tags = self._extended.tags.get(self._get_param("ResourceARN"), {})
        return json.dumps({"ResourceTags": [{"Key": key, "Value": value} for key, value in tags.items()]})

    def tag_resource(self) -> str:
        """``TagResource``."""
        self._tag(self._get_param("ResourceARN"), self._get_param("ResourceTags"))
        return "{}"

    def untag_resource(self) -> str:
        """``UntagResource``."""
        for key in self._get_param("ResourceTagKeys"):
            self._extended.tags.get(self._get_param("ResourceARN"), {}).pop(key, None)
        return "{}"

    def _tag(self, arn: str, tags: list[dict[str, str]]) -> None:
        self._extended.tags.setdefault(arn, {}).update({tag["Key"]: tag["Value"] for tag in tags})
