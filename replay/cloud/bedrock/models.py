"""Which model an id names, how fast it is, and what is particular about it."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from replay.cloud.bedrock.profiles import LatencyProfile, load_profile
from replay.cloud.bedrock.streaming.catalogue import Catalogue, shipped_catalogue
from replay.cloud.bedrock.streaming.recorded import whole_call_profile

_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:bedrock:[a-z0-9-]*:\d*:(?:foundation-model|inference-profile|application-inference-profile)/(.+)"
)
_REGION_PREFIX: Final = re.compile(r"(?:us|us-gov|eu|apac|jp|au|ca|sa|global)\.(?=[a-z0-9-]+\.)")


T = TypeVar("T")


@dataclass(frozen=True)
class ModelTraits:
    """What differs from model to model besides latency."""

    max_output_tokens: int = 4_096
    """Reserved against the token quota where a request names no ``maxTokens``."""
    cache_min_tokens: int | None = None
    """Shortest prefix that is cached; None: the model has no prompt cache."""
    output_burndown: float = 1.0
    """Quota tokens that one output token costs."""


TRAITS: Final[Mapping[str, ModelTraits]] = {
    # Bedrock user guide: "Prompt caching" (minimum), "How tokens are counted" (burndown); model cards (maximum).
    "anthropic.claude-haiku-4-5-*": ModelTraits(64_000, 4_096, 5.0),
    "anthropic.claude-3-haiku-*": ModelTraits(4_096, None, 1.0),
    "amazon.nova-micro-*": ModelTraits(10_000, 1_024, 1.0),
    "amazon.nova-lite-*": ModelTraits(10_000, 1_024, 1.0),
}


@dataclass(frozen=True)
class Model:
    """One model as this local cloud serves it."""

    name: str
    """Base id: without ARN and region prefix."""
    profile: LatencyProfile
    traits: ModelTraits


def base_id(model_id: str) -> str:
    """Take the ARN around an id and the region prefix of an inference profile off."""
    match = _ARN.fullmatch(model_id)
    return _REGION_PREFIX.sub("", match[1] if match else model_id, count=1)


def first_match(patterns: Mapping[str, T], name: str) -> T | None:
    """Give the value of the first pattern that fits."""
    return next((value for pattern, value in patterns.items() if fnmatch.fnmatchcase(name, pattern)), None)


class ModelTable:
    """The models that a local cloud knows."""

    def __init__(self, profiles: Mapping[str, str], catalogue: Catalogue | None = None) -> None:
        """Load every profile, so that a mistake in the settings shows at start. Raises InputError."""
        self._catalogue = catalogue or shipped_catalogue()
        loaded = {reference: load_profile(reference) for reference in set(profiles.values())}
        self._profiles = {pattern: loaded[reference] for pattern, reference in profiles.items()}
        self._known: dict[str, Model | None] = {}

    def find(self, model_id: str) -> Model | None:
        """Give the model of an id, None where no pattern fits and the catalogue of streaming models lacks it."""
        if model_id not in self._known:
            name = base_id(model_id)
            profile = first_match(self._profiles, name)
            if profile is None and name in self._catalogue.models:
                profile = whole_call_profile(self._catalogue.models[name])
            traits = first_match(TRAITS, name) or ModelTraits()
            self._known[model_id] = None if profile is None else Model(name, profile, traits)
        return self._known[model_id]
