"""What is measured: Bedrock models and inference profiles, found and described, or a deployed API and its alias."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from replay.bench.clients import Endpoint
from replay.errors import CloudError, InputError
from simulator.cost import Prices, TokenRates, token_rates
from simulator.errors import ParameterError

CACHE_MINIMUM_TOKENS: Final[Mapping[str, int]] = {
    # Bedrock user guide, "Prompt caching", supported models; no API tells it.
    "amazon.nova-*": 1024,
    "anthropic.claude-haiku-4-5-*": 4096,
    "anthropic.claude-opus-4-5-*": 4096,
    "anthropic.claude-3-5-haiku-*": 2048,
    "anthropic.claude-3-7-sonnet-*": 1024,
    "anthropic.claude-sonnet-4*": 1024,
    "anthropic.claude-opus-4*": 1024,
}
"""Model-id pattern → shortest prefix that is cached. The first pattern that fits wins; none: no prompt cache known."""


@dataclass(frozen=True)
class Target:
    """Something to measure.

    ``model_id`` is a Bedrock model or inference-profile id, ``http(s)://…`` the address of a deployed API or stream, or
    ``lambda:FUNCTION[:ALIAS]``.
    """

    model_id: str
    region: str
    name: str = ""
    price_model: str | None = None
    """The model whose token prices hold, where ``model_id`` names none."""

    @property
    def label(self) -> str:
        """What to call it in tables."""
        return self.name or self.model_id

    @property
    def kind(self) -> str:
        """``bedrock``, ``http`` or ``lambda``."""
        if self.model_id.startswith(("http://", "https://")):
            return "http"
        return "lambda" if self.model_id.startswith("lambda:") else "bedrock"

    @property
    def through_profile(self) -> bool:
        """Whether requests go through a cross-region inference profile."""
        return base_model_id(self.model_id) != self.model_id.rsplit("/", 1)[-1]

    @property
    def cache_minimum_tokens(self) -> int | None:
        """Shortest prefix that is cached; None where no prompt cache is known."""
        return cache_minimum(self.model_id)


def parse_target(text: str, region: str) -> Target:
    """Read a target as ``[NAME=]MODEL[@REGION]``.

    Raises
    ------
    InputError
        Nothing is named.
    """
    name, equals, rest = text.partition("=")
    if not equals or "://" in name:
        name, rest = "", text
    model, at, own_region = rest.rpartition("@") if "://" not in rest else (rest, "", "")
    if not at:
        model, own_region = rest, region
    if not model.strip() or not own_region.strip():
        raise InputError(f"target {text!r}: write [NAME=]MODEL[@REGION], such as micro=us.amazon.nova-micro-v1:0")
    return Target(model.strip(), own_region.strip(), name.strip())


def base_model_id(model_id: str) -> str:
    """Take the ARN around an id and the region prefix of a profile off."""
    name = model_id.rsplit("/", 1)[-1] if model_id.startswith("arn:") else model_id
    prefix, _, rest = name.partition(".")
    return rest if prefix in _PROFILE_PREFIXES and "." in rest else name


_PROFILE_PREFIXES: Final = ("us", "us-gov", "eu", "apac", "jp", "au", "ca", "sa", "global")


def cache_minimum(model_id: str) -> int | None:
    """Give a model's cache minimum by :data:`CACHE_MINIMUM_TOKENS`."""
    name = base_model_id(model_id)
    return next(
        (tokens for pattern, tokens in CACHE_MINIMUM_TOKENS.items() if fnmatch.fnmatchcase(name, pattern)), None
    )


@dataclass(frozen=True)
class ModelInfo:
    """One way to call a model from a region: by its own id, or through a profile."""

    model_id: str
    name: str
    provider: str
    region: str
    routes_to: tuple[str, ...]
    """Regions that a profile can route to; empty for a regional call."""
    streaming: bool
    lifecycle: str
    cache_minimum_tokens: int | None
    input_usd_per_million: float | None
    output_usd_per_million: float | None
    cache_read_usd_per_million: float | None

    def to_json(self) -> dict[str, Any]:
        """Give the fields as JSON types."""
        return {**vars(self), "routes_to": list(self.routes_to)}


def discover(endpoint: Endpoint, regions: Sequence[str], prices: Prices, match: str | None = None) -> list[ModelInfo]:
    """List the text models that can be called on demand, regionally or through a profile.

    Parameters
    ----------
    endpoint
        How to reach AWS, or what stands in for it.
    regions
        Where to ask.
    prices
        For the token prices; unknown ones stay None.
    match
        Part of an id or a name, in any case; None: all.

    Raises
    ------
    CloudError
        A region refused or did not answer.
    """
    found: list[ModelInfo] = []
    for region in regions:
        client = endpoint.client("bedrock", region)
        try:
            summaries = client.list_foundation_models(byOutputModality="TEXT")["modelSummaries"]
            pages = client.get_paginator("list_inference_profiles").paginate(typeEquals="SYSTEM_DEFINED")
            profiles = [profile for page in pages for profile in page["inferenceProfileSummaries"]]
        except endpoint.errors as error:
            raise CloudError(f"listing the models of {region}: {endpoint.explain(error)}") from error
        by_id = {summary["modelId"]: summary for summary in summaries}
        found += [
            _info(summary["modelId"], summary, region, (), prices)
            for summary in summaries
            if "ON_DEMAND" in summary.get("inferenceTypesSupported", [])
        ]
        for profile in profiles:
            summary = by_id.get(base_model_id(profile["inferenceProfileId"]))
            if summary is not None and profile["status"] == "ACTIVE":
                routes = tuple(model["modelArn"].split(":")[3] for model in profile["models"])
                found.append(_info(profile["inferenceProfileId"], summary, region, routes, prices))
    wanted = (match or "").lower()
    return [info for info in found if wanted in info.model_id.lower() or wanted in info.name.lower()]


def rates_of(model_id: str, prices: Prices) -> TokenRates | None:
    """Give a model's token prices, None where they are not known."""
    for name in (model_id, base_model_id(model_id)):
        try:
            return token_rates(name, prices)[0]
        except ParameterError:
            continue
    return None


def _info(model_id: str, summary: Mapping[str, Any], region: str, routes: tuple[str, ...], prices: Prices) -> ModelInfo:
    rates = rates_of(model_id, prices)
    return ModelInfo(
        model_id=model_id,
        name=summary.get("modelName", model_id),
        provider=summary.get("providerName", ""),
        region=region,
        routes_to=routes,
        streaming=bool(summary.get("responseStreamingSupported", False)),
        lifecycle=summary.get("modelLifecycle", {}).get("status", "unknown"),
        cache_minimum_tokens=cache_minimum(model_id),
        input_usd_per_million=rates.input if rates else None,
        output_usd_per_million=rates.output if rates else None,
        cache_read_usd_per_million=rates.cache_read if rates else None,
    )
