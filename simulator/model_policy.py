"""The model behind the handler: Bedrock's quotas, and how the handler's SDK tries again when they refuse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from simulator.checks import at_least, one_of
from simulator.errors import ParameterError

RetryMode = Literal["off", "standard", "adaptive", "legacy"]

DEFAULT_ATTEMPTS: Final = {"off": 1, "standard": 3, "adaptive": 3, "legacy": 5}
"""Attempts in all where none are configured (botocore 1.44: ``retries/standard.py``, ``data/_retry.json``)."""
MAX_SDK_ATTEMPTS: Final = 20


@dataclass(frozen=True)
class ModelQuota:
    """What one model may be asked in a minute, over all versions that call it; None for no limit.

    A call reserves its input and its ``max_tokens`` before it runs, and gets back what its answer did not cost when it
    ends (Amazon Bedrock user guide, "How tokens are counted in Amazon Bedrock"). Bedrock does not document its window;
    here an allowance of one minute refills evenly.

    Parameters
    ----------
    requests_per_minute, tokens_per_minute
        The quotas; at least one request, one token.
    output_burndown
        Tokens of quota that one token of output costs: 5 for Claude's models of the fourth generation, else 1.

    Raises
    ------
    ParameterError
        A value outside its range.
    """

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    output_burndown: float = 1.0

    def __post_init__(self) -> None:
        if self.requests_per_minute is not None:
            at_least("requests_per_minute", self.requests_per_minute, 1)
        if self.tokens_per_minute is not None:
            at_least("tokens_per_minute", self.tokens_per_minute, 1)
        at_least("output_burndown", self.output_burndown, 0)


@dataclass(frozen=True)
class SdkRetries:
    """The SDK's retry policy, with botocore 1.44's constants (``simulator/engine/sdk.py`` has them).

    Parameters
    ----------
    mode
        ``standard`` (the default), ``adaptive`` (standard, and a send rate that follows the throttles), ``legacy`` (the
        default until 2025) or ``off``.
    max_attempts
        Attempts in all, ``total_max_attempts`` of botocore; None for the mode's own default.

    Raises
    ------
    ParameterError
        A mode that there is not, or attempts outside 1 to 20.
    """

    mode: RetryMode = "standard"
    max_attempts: int | None = None

    def __post_init__(self) -> None:
        one_of("retries.mode", self.mode, get_args(RetryMode))
        if self.max_attempts is not None and not 1 <= self.max_attempts <= MAX_SDK_ATTEMPTS:
            raise ParameterError(f"retries.max_attempts={self.max_attempts!r} is outside 1 to {MAX_SDK_ATTEMPTS}")
        if self.mode == "off" and self.max_attempts not in (None, 1):
            raise ParameterError(f"retries.max_attempts={self.max_attempts} contradicts retries.mode='off'")

    @property
    def attempts(self) -> int:
        """Attempts in all, at least 1."""
        return DEFAULT_ATTEMPTS[self.mode] if self.max_attempts is None else self.max_attempts


@dataclass(frozen=True)
class ModelCall:
    """How a version's handler calls its model: once, at the end of what it does itself.

    Parameters
    ----------
    quota
        Name of one of the platform's quotas; two versions that call one model share it.
    max_tokens
        ``maxTokens`` of the call, which is what the quota reserves for output.
    retries
        What the SDK does when the quota refuses.
    refusal_ms
        How long a refusal takes to arrive.

    Raises
    ------
    ParameterError
        A value outside its range.
    """

    quota: str
    max_tokens: int
    retries: SdkRetries = field(default_factory=SdkRetries)
    refusal_ms: float = 30.0

    def __post_init__(self) -> None:
        at_least("model.max_tokens", self.max_tokens, 1)
        at_least("model.refusal_ms", self.refusal_ms, 0)
