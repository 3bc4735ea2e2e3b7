"""Application Auto Scaling: moto's, with tags, and scalable targets on Lambda's provisioned concurrency."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

from moto.applicationautoscaling import urls as autoscaling_urls
from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse

from replay.cloud.control_plane.extension import addresses


class ExtendedAutoscalingBackend(ApplicationAutoscalingBackend):
    """Moto's Application Auto Scaling, extended."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.tags: dict[str, dict[str, str]] = {}

    @property
    def _url_module(self) -> SimpleNamespace:
        return addresses(autoscaling_urls, ApplicationAutoScalingResponse, ExtendedAutoscalingResponse)


class ExtendedAutoscalingResponse(ApplicationAutoScalingResponse):
    """Moto's Application Auto Scaling actions with ours."""

    @property
    def _tags(self) -> dict[str, dict[str, str]]:
        return cast("ExtendedAutoscalingBackend", self.applicationautoscaling_backend).tags

    def register_scalable_target(self) -> str:
        """``RegisterScalableTarget`` with ``Tags``."""
        answer = super().register_scalable_target()
        tags: dict[str, str] | None = self._get_param("Tags")
        if tags:
            self._tags.setdefault(json.loads(answer)["ScalableTargetARN"], {}).update(tags)
        return answer

    def list_tags_for_resource(self) -> str:
        """``ListTagsForResource``."""
        return json.dumps({"Tags": self._tags.get(self._get_param("ResourceARN"), {})})

    def tag_resource(self) -> str:
        """``TagResource``."""
        tags: dict[str, Any] = self._get_param("Tags")
        self._tags.setdefault(self._get_param("ResourceARN"), {}).update(tags)
        return "{}"

    def untag_resource(self) -> str:
        """``UntagResource``."""
        known = self._tags.get(self._get_param("ResourceARN"), {})
        for name in self._get_param("TagKeys") or []:
            known.pop(name, None)
        return "{}"
