"""Randomness by address: a draw is a function of seed, use, replication, attempt and request, never of its order.

Philox is a counter-based generator: its n-th number is computed from the key and n, not from the numbers before it
(Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011). The key holds seed and use, the counter holds
replication and attempt in its upper words, and the request's index counts from there. So a longer run starts with the
draws of the shorter one, both variants see the same uniform for the same request (common random numbers), and a second
engine can ask for exactly what the first one got.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from simulator.errors import ParameterError
from simulator.quantiles import FloatArray

IntArray = NDArray[np.int64]

_WORDS: Final = 4
"""Words that Philox gives for one state of its counter."""


class Use(IntEnum):
    """What a stream of random numbers is for. The numbers are part of every seeded result: append, never reorder."""

    ARRIVAL = 1
    ROUTE = 2
    HANDLER = 3
    INIT = 4
    SETUP = 5
    OVERHEAD = 6
    KEEP_ALIVE = 7
    FIT = 8
    DRIFT = 9
    LIFETIME = 10
    ENVIRONMENT = 11
    CLIENT_JITTER = 12
    SDK_JITTER = 13


@dataclass(frozen=True)
class Randomness:
    """The random numbers of one replication.

    Parameters
    ----------
    seed
        0 to 2**64 − 1.
    replication
        Which of the forecast's runs this is, 0 or more.

    Raises
    ------
    ParameterError
        A number outside these ranges.
    """

    seed: int
    replication: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise ParameterError(f"seed={self.seed!r} is outside 0 to 2**64 - 1")
        if not 0 <= self.replication < 2**32:
            raise ParameterError(f"replication={self.replication!r} is outside 0 to 2**32 - 1")

    def generator(self, use: Use, attempt: int = 0, first: int = 0) -> np.random.Generator:
        """Give a generator of the stream of ``use`` and ``attempt``, at the word of request ``first``."""
        key = np.array([self.seed, int(use)], dtype=np.uint64)
        counter = np.array([first // _WORDS, 0, attempt, self.replication], dtype=np.uint64)
        generator = np.random.Generator(np.random.Philox(key=key, counter=counter))
        if first % _WORDS:
            generator.random(first % _WORDS)
        return generator

    def uniforms(self, use: Use, requests: int, attempt: int = 0, first: int = 0) -> FloatArray:
        """Give one uniform in [0, 1) for each request from ``first`` on, shape ``(requests,)``.

        That of a request is the same whichever are asked for: a double takes exactly one word of the stream.
        """
        return self.generator(use, attempt, first).random(requests)


@dataclass(frozen=True)
class KeptUniforms(Randomness):
    """The same numbers, for a run whose versions share their uniforms: those drawn for one are kept for the other.

    What it gives is not to be written to.
    """

    _kept: dict[tuple[Use, int, int, int], FloatArray] = field(default_factory=dict, repr=False, compare=False)

    def uniforms(self, use: Use, requests: int, attempt: int = 0, first: int = 0) -> FloatArray:
        """Give one uniform for each request, see :meth:`Randomness.uniforms`."""
        address = (use, requests, attempt, first)
        if address not in self._kept:
            self._kept[address] = super().uniforms(use, requests, attempt, first)
        return self._kept[address]


def client_jitter(randomness: Randomness, attempts: int, requests: int) -> FloatArray:
    """Draw :attr:`Draws.client_jitter`, shape ``(attempts, requests)``."""
    return np.stack([randomness.uniforms(Use.CLIENT_JITTER, requests, attempt) for attempt in range(attempts)])


def sdk_jitter(randomness: Randomness, attempts: int, tries: int, requests: int) -> FloatArray:
    """Draw :attr:`ModelDraws.sdk_jitter`, shape ``(attempts, tries, requests)``.

    Its address holds both numbers, so that more tries leave the draws of the others as they are.
    """
    return np.stack(
        [
            np.stack([randomness.uniforms(Use.SDK_JITTER, requests, attempt << 16 | one) for one in range(tries)])
            for attempt in range(attempts)
        ]
    )


@dataclass(frozen=True, eq=False)
class ModelDraws:
    """What is random about the call of a model; needed where a version has a quota to meet.

    Shapes as in :class:`Draws`, and s attempts of the SDK at most.

    Parameters
    ----------
    inference_ms
        ``(v, a, n)``: how much of the handler is the call that succeeds; what exceeds the handler's time counts as all
        of it.
    input_tokens
        ``(v, n)``: tokens of input that count against the quota: those read from the prompt cache do not.
    output_tokens
        ``(v, n)``: tokens of the answer.
    sdk_jitter
        ``(a, s, n)``: uniforms in [0, 1) for the SDK's waits; the last of each attempt is not used.
    """

    inference_ms: FloatArray = field(repr=False)
    input_tokens: FloatArray = field(repr=False)
    output_tokens: FloatArray = field(repr=False)
    sdk_jitter: FloatArray = field(repr=False)

    def check(self, versions: int, attempts: int, requests: int) -> None:
        """Hold every shape and value to what a run of these sizes needs. Raises ParameterError."""
        _check("model.inference_ms", self.inference_ms, (versions, attempts, requests))
        _check("model.input_tokens", self.input_tokens, (versions, requests))
        _check("model.output_tokens", self.output_tokens, (versions, requests))
        tries = self.sdk_jitter.shape[1] if self.sdk_jitter.ndim == 3 else 1
        _check("model.sdk_jitter", self.sdk_jitter, (attempts, tries, requests))


@dataclass(frozen=True, eq=False)
class Draws:
    """Everything random in one run, drawn before it starts.

    Shapes: n requests, v versions in the platform's order, a attempts of each request at most.

    Parameters
    ----------
    arrival_s
        ``(n,)``: when the caller sends the request; ascending.
    route
        ``(a, n)``: uniform in [0, 1); the second version where it lies below the rollout's weight.
    handler_ms
        ``(v, a, n)``: the handler in a warm environment.
    cold_handler_ms
        ``(v, a, n)``: the handler as the first invocation of its environment.
    init_ms
        ``(v, a, n)``: INIT, as Lambda would report it.
    setup_ms
        ``(v, a, n)``: what a cold start costs before INIT and Lambda does not report.
    overhead_ms
        ``(v, a, n)``: network and gateway, there and back.
    keep_alive_s
        ``(a, n)``: how long the environment that served the attempt stays idle before it is gone.
    lifetime_s
        ``(a, n)``: how long an on-demand environment that the attempt starts may live at all; what it serves when the
        time is up it still ends. None: for ever.
    client_jitter
        ``(a, n)``: uniform in [0, 1) for the caller's wait after the attempt. Needed where it waits with jitter.
    model
        Needed where a version calls a model that has quotas.
    """

    arrival_s: FloatArray = field(repr=False)
    route: FloatArray = field(repr=False)
    handler_ms: FloatArray = field(repr=False)
    cold_handler_ms: FloatArray = field(repr=False)
    init_ms: FloatArray = field(repr=False)
    setup_ms: FloatArray = field(repr=False)
    overhead_ms: FloatArray = field(repr=False)
    keep_alive_s: FloatArray = field(repr=False)
    lifetime_s: FloatArray | None = field(default=None, repr=False)
    client_jitter: FloatArray | None = field(default=None, repr=False)
    model: ModelDraws | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        n = self.arrival_s.shape[0]
        versions, attempts = self.handler_ms.shape[:2]
        for name in ("handler_ms", "cold_handler_ms", "init_ms", "setup_ms", "overhead_ms"):
            _check(name, getattr(self, name), (versions, attempts, n))
        for name in ("route", "keep_alive_s"):
            _check(name, getattr(self, name), (attempts, n))
        for name in ("lifetime_s", "client_jitter"):
            values = getattr(self, name)
            if values is not None:
                _check(name, values, (attempts, n))
        if self.model is not None:
            self.model.check(versions, attempts, n)
        _check("arrival_s", self.arrival_s, (n,))
        if (self.arrival_s[1:] < self.arrival_s[:-1]).any():
            raise ParameterError("arrival_s goes back in time; sort the requests by arrival")

    @property
    def requests(self) -> int:
        """How many requests there are."""
        return int(self.arrival_s.shape[0])

    @property
    def versions(self) -> int:
        """How many versions there are draws for."""
        return int(self.handler_ms.shape[0])

    @property
    def attempts(self) -> int:
        """How many attempts of each request there are draws for."""
        return int(self.handler_ms.shape[1])


def _check(name: str, values: FloatArray, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ParameterError(f"{name} has shape {values.shape}, not {shape}")
    if not values.size:
        return
    # One value for all of a dimension is looked at once.
    if not any(values.strides):
        least = most = values.item(0)
    else:
        if 0 in values.strides:
            values = values[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in values.strides)]
        least, most = values.min(), values.max()
    # What is not a number is neither, and an infinite value is the largest.
    if not (least >= 0.0 and most < np.inf):
        raise ParameterError(f"{name} holds a negative or infinite value, or none; draws are finite and 0 or more")
