"""Answers the requests: ConverseStream, InvokeModelWithResponseStream, and the lists of models and profiles.

Beside what Bedrock sends, a stream's answer carries headers that say what was planned, so that a measurement can be
held against the truth: ``x-tailcast-ttft-ms`` and ``x-tailcast-total-ms`` (since the request came in, the wait for a
slot counted), ``x-tailcast-region`` (which served it) and ``x-tailcast-draw``. When the parts really left is to be had
at :data:`SENT_PATH`, so that the server's own error can be told from the client's.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import unquote
from weakref import WeakSet

from aiohttp import web

from replay.cloud.bedrock.draws import uniform
from replay.cloud.bedrock.models import TRAITS, ModelTraits, first_match
from replay.cloud.bedrock.quota import QuotaMeter
from replay.cloud.bedrock.streaming import listing
from replay.cloud.bedrock.streaming.catalogue import Catalogue, Model, shipped_catalogue
from replay.cloud.bedrock.streaming.events import ConverseDialect, Dialect, Ending, invoke_dialect, word
from replay.cloud.bedrock.streaming.faults import Fault, StreamFaults
from replay.cloud.bedrock.streaming.frames import CONTENT_TYPE, exception_frame, with_broken_checksum
from replay.cloud.bedrock.streaming.prompt_cache import PromptCache, Use
from replay.cloud.bedrock.streaming.requests import (
    RefusedError,
    StreamRequest,
    invalid,
    parse_converse,
    parse_invoke,
)
from replay.cloud.bedrock.streaming.timing import Conditions, Schedule, schedule
from replay.cloud.http import BodyTooLargeError, aws_error, json_answer, read_body
from replay.errors import InputError

SETTINGS_PATH: Final = "/_tailcast/bedrock/streams"
"""PUT ``{"models": {…}, "faults": {…}, "forget": true}``; GET gives the models' ids and the faults."""

SENT_PATH: Final = "/_tailcast/bedrock/streams/sent"
"""GET gives how the latest :data:`SENT_KEPT` answers went, the complete ones as ``sent`` and all as ``streams``:
request id and moments, seconds of the system's monotonic clock (on Linux that of :func:`time.perf_counter` in every
process)."""

SENT_KEPT: Final = 4_096

BODY_LIMIT_BYTES: Final = 25_000_000
"""Bedrock's largest request body (InvokeModel: 25,000,000 characters)."""

_HEAD_START_S: Final = 0.001
_AT_ONCE: Final = ("throttle", "server_error")
_MODEL_PATH: Final = re.compile(r"/model/(?P<id>.+)/(?P<operation>converse-stream|invoke-with-response-stream)")
_CREDENTIAL: Final = re.compile(r"Credential=(?P<key>[^/,\s]+)/\d{8}/(?P<region>[^/]+)/")


Meter = Callable[[str], QuotaMeter | None]
"""Gives what meters the quotas of a model's base id; None: it has none."""


@dataclass(frozen=True)
class _Plan:
    """One request, decided: when its answer's parts leave, and what ends it early."""

    schedule: Schedule
    dialect: Dialect
    ending: Ending
    fault: Fault | None
    region: str
    draw: int


@dataclass
class Sent:
    """When an answer's parts really left, seconds of the event loop's clock."""

    request_id: str
    arrived_s: float
    first_token_s: float = 0.0
    """0 until it has left, as ``end_s``, the last token's."""
    end_s: float = 0.0
    model_id: str = ""
    tokens: int = 0
    ended: str | None = None
    """``complete``, ``fault`` as it was ordered, or ``left`` by the caller; None: not yet."""


class StreamingBedrock:
    """Bedrock's streaming operations and its catalogue.

    Parameters
    ----------
    seed
        Of every draw: latencies, regions, faults.
    region, account
        Where a request without a signature is taken to come from, and whose ARNs are shown.
    catalogue
        The models; None: those that ship.
    meter
        The quotas; None: there are none.
    clock
        Of the prompt cache and of idle times; seconds, monotonic.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        region: str = "us-east-1",
        account: str = "123456789012",
        catalogue: Catalogue | None = None,
        meter: Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.catalogue = catalogue or shipped_catalogue()
        self.faults = StreamFaults()
        self._seed = seed
        self._region = region
        self._account = account
        self._meter = meter or (lambda _: None)
        self._clock = clock
        self._cache = PromptCache(clock)
        self._draws: defaultdict[str, int] = defaultdict(int)
        self._last_s: dict[str, float] = {}
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._sent: deque[Sent] = deque(maxlen=SENT_KEPT)
        self._known_connections: WeakSet[asyncio.BaseTransport] = WeakSet()

    @staticmethod
    def serves(method: str, path: str) -> bool:
        """Say whether a request (its path still percent-encoded) is for this service."""
        if path in (SETTINGS_PATH, SENT_PATH) or listing.is_listing(method, path):
            return True
        return method == "POST" and _MODEL_PATH.fullmatch(path) is not None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request for which :meth:`serves` holds."""
        arrived_s = asyncio.get_running_loop().time()
        request_id = str(uuid.uuid4())
        path = request.rel_url.raw_path
        try:
            body = await read_body(request, BODY_LIMIT_BYTES)
            if path == SETTINGS_PATH:
                return self._settings(request.method, _json(body) if body else {})
            if path == SENT_PATH:
                streams = [vars(sent) for sent in self._sent]
                return json_answer({"sent": [s for s in streams if s["ended"] == "complete"], "streams": streams})
            key, region = self._caller(request)
            if key in self.faults.expired_access_keys:
                message = "The security token included in the request is expired"
                raise RefusedError(403, "ExpiredTokenException", message)
            if listing.is_listing(request.method, path):
                return json_answer(listing.answer(self.catalogue, path, request.query, region, self._account))
            return await self._stream(request, path, body, region, arrived_s, request_id)
        except RefusedError as error:
            return aws_error(error.status, error.error_type, error.message, request_id)
        except BodyTooLargeError:
            return aws_error(413, "ValidationException", "Input is too long for requested model.", request_id)

    def _settings(self, method: str, document: Any) -> web.Response:
        if method == "PUT":
            if not isinstance(document, dict):
                raise invalid("the settings must be a JSON object")
            try:
                catalogue = self.catalogue.extended(document.get("models", {}))
                faults = StreamFaults.from_json(document["faults"]) if "faults" in document else self.faults
            except (InputError, TypeError) as error:
                raise invalid(str(error)) from None
            self.catalogue, self.faults = catalogue, faults
            for model_id in document.get("models", {}):
                self._slots.pop(model_id, None)
            if document.get("forget"):
                self._cache.clear()
                self._draws.clear()
                self._last_s.clear()
        return json_answer({"models": sorted(self.catalogue.models), "faults": vars(self.faults)})

    def _caller(self, request: web.BaseRequest) -> tuple[str, str]:
        match = _CREDENTIAL.search(request.headers.get("Authorization", ""))
        return (match["key"], match["region"]) if match else ("", self._region)

    async def _stream(
        self, request: web.BaseRequest, path: str, body: bytes, region: str, arrived_s: float, request_id: str
    ) -> web.StreamResponse:
        match = _MODEL_PATH.fullmatch(path)
        if match is None:
            raise RefusedError(404, "UnknownOperationException", f"no operation at {path}")
        # Asked first: a connection that was used for a refused request is set up as well.
        new_connection = self._is_new(request.transport)
        model, destinations, through_profile = self._resolve(unquote(match["id"]), region)
        converse = match["operation"] == "converse-stream"
        parsed = parse_converse(body, model) if converse else parse_invoke(body, request.headers, model)
        index = self._draws[model.model_id]
        self._draws[model.model_id] += 1
        draw = partial(self._draw, model.model_id, index)
        fault = self.faults.pick(draw("fault"))
        meter = self._meter(model.model_id)
        traits = first_match(TRAITS, model.model_id) or ModelTraits()
        reserved = parsed.max_tokens or traits.max_output_tokens
        refusal = None
        if meter is not None:
            refusal = meter.reserve(parsed.input_tokens, reserved, time.perf_counter())
            if refusal is None and fault in _AT_ONCE:
                meter.settle(reserved, 0, traits.output_burndown, time.perf_counter())
        if refusal is not None or fault == "throttle":
            message = refusal or "Too many requests, please wait before trying again."
            raise RefusedError(429, "ThrottlingException", message)
        if fault == "server_error":
            raise RefusedError(500, "InternalServerException", "The system encountered an unexpected error.")
        served_in = destinations[int(draw("region") * len(destinations))]
        use = self._cache.use(model.model_id, served_in, parsed.prefixes, model.cache_minimum_tokens or 0)
        conditions = Conditions(
            input_tokens=parsed.input_tokens - use.read_tokens,
            cache_read_tokens=use.read_tokens,
            output_tokens=parsed.output_tokens,
            through_profile=through_profile,
            new_connection=new_connection,
            first_after_idle=self._is_first(model),
            optimized=parsed.optimized,
            tier=parsed.tier,
        )
        planned = schedule(model, conditions, draw("latency"))
        dialect = ConverseDialect() if converse else invoke_dialect(model.model_id)
        loop = asyncio.get_running_loop()
        queued_s = loop.time()
        async with self._slot(model):
            if model.slots is not None:
                planned = planned.later((loop.time() - queued_s) * 1000.0)
            ending = _ending(parsed, use, planned)
            plan = _Plan(planned, dialect, ending, fault, served_in, index)
            sent = Sent(request_id, arrived_s, model_id=model.model_id)
            self._sent.append(sent)
            try:
                return await _send(request, plan, sent)
            except ConnectionError:  # the caller has left: nobody to tell
                sent.ended = "left"
                return web.Response(status=499)
            finally:
                if meter is not None:
                    meter.settle(reserved, parsed.output_tokens, traits.output_burndown, time.perf_counter())

    def _resolve(self, model_id: str, region: str) -> tuple[Model, tuple[str, ...], bool]:
        found = self.catalogue.find(model_id)
        if found is None:
            raise invalid("The provided model identifier is invalid.")
        model, prefix = found
        destinations = model.destinations(prefix, region)
        if not destinations:
            if prefix is None and model.profiles:
                raise invalid(
                    f"Invocation of model ID {model.model_id} with on-demand throughput isn't supported. Retry your "
                    "request with the ID or ARN of an inference profile that contains this model."
                )
            raise invalid("The provided model identifier is invalid.")
        if not model.streaming:
            raise invalid("The model is unsupported for streaming.")
        return model, destinations, prefix is not None

    def _draw(self, model_id: str, index: int, use: str) -> float:
        return uniform(self._seed, model_id, use, index)

    def _is_new(self, transport: asyncio.BaseTransport | None) -> bool:
        if transport is None or transport in self._known_connections:
            return False
        self._known_connections.add(transport)
        return True

    def _is_first(self, model: Model) -> bool:
        now_s = self._clock()
        last_s = self._last_s.get(model.model_id)
        self._last_s[model.model_id] = now_s
        return last_s is None or now_s - last_s > model.idle_s

    def _slot(self, model: Model) -> asyncio.Semaphore:
        if model.slots is None:
            return asyncio.Semaphore(1)  # its own: nobody waits
        return self._slots.setdefault(model.model_id, asyncio.Semaphore(model.slots))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise invalid("the settings are not JSON") from None


def _ending(parsed: StreamRequest, use: Use, planned: Schedule) -> Ending:
    return Ending(
        stop_reason="max_tokens" if parsed.reaches_limit else "end_turn",
        input_tokens=parsed.input_tokens - use.read_tokens - use.write_tokens,
        output_tokens=parsed.output_tokens,
        cache_read_tokens=use.read_tokens,
        cache_write_tokens=use.write_tokens,
        ttft_ms=planned.ttft_ms,
        total_ms=planned.total_ms,
        optimized=parsed.optimized,
        tier=parsed.tier,
    )


async def _send(request: web.BaseRequest, plan: _Plan, sent: Sent) -> web.StreamResponse:
    """Send an answer, each part at its moment; an early end where the plan has a fault."""
    planned, dialect = plan.schedule, plan.dialect
    response = web.StreamResponse(
        headers={
            "Content-Type": CONTENT_TYPE,
            "x-amzn-RequestId": sent.request_id,
            "x-tailcast-ttft-ms": f"{planned.ttft_ms:.3f}",
            "x-tailcast-total-ms": f"{planned.total_ms:.3f}",
            "x-tailcast-region": plan.region,
            "x-tailcast-draw": str(plan.draw),
        }
    )
    loop = asyncio.get_running_loop()
    head = dialect.start()
    for index in range(planned.reasoning_tokens):
        frame = dialect.reasoning(word(index))
        if not frame:
            break
        await _until(loop, sent.arrived_s + planned.reasoning_ms(index) / 1000.0)
        if not response.prepared:
            await response.prepare(request)
        await response.write(head + frame)
        head = b""
    last = planned.output_tokens - 1
    ends_early_at = planned.output_tokens // 2 if plan.fault else planned.output_tokens + 1
    for index in range(planned.output_tokens):
        frame = head + dialect.token(word(index))
        head = b""
        if index == last:
            frame += dialect.end(plan.ending)
        due_s = sent.arrived_s + planned.token_ms(index) / 1000.0
        if not response.prepared:
            # The head goes a moment ahead, so that the work on it does not delay the first token.
            await _until(loop, due_s - _HEAD_START_S)
            await response.prepare(request)
        await _until(loop, due_s)
        if index >= ends_early_at:
            sent.ended = "fault"
            return await _break(request, response, plan.fault, frame)
        end_s = loop.time()
        sent.first_token_s = sent.first_token_s or end_s
        await response.write(frame)
        sent.end_s = end_s
        sent.tokens += 1
    await response.write_eof()
    sent.ended = "complete"
    return response


async def _break(
    request: web.BaseRequest, response: web.StreamResponse, fault: Fault | None, frame: bytes
) -> web.StreamResponse:
    if fault == "exception":
        await response.write(exception_frame("modelStreamErrorException", "The model stream ended unexpectedly."))
        await response.write_eof()
    elif fault == "malformed":
        await response.write(with_broken_checksum(frame))
        await response.write_eof()
    elif request.transport is not None:
        request.transport.abort()
    return response


async def _until(loop: asyncio.AbstractEventLoop, when_s: float) -> None:
    """Wait for a moment of the loop's clock; return at once where it has passed."""
    if when_s <= loop.time():
        return
    moment = loop.create_future()
    handle = loop.call_at(when_s, _wake, moment)
    try:
        await moment
    finally:
        handle.cancel()


def _wake(moment: asyncio.Future[None]) -> None:
    if not moment.done():
        moment.set_result(None)
