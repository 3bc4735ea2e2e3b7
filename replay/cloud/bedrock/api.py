"""Bedrock's runtime over HTTP: from a request to an answer that leaves at its drawn latency."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web

from replay.cloud.bedrock import converse, invoke_model
from replay.cloud.bedrock.cache import PromptCache
from replay.cloud.bedrock.draws import uniform
from replay.cloud.bedrock.faults import Faults
from replay.cloud.bedrock.models import Model, ModelTable, first_match
from replay.cloud.bedrock.prompt import Answer, BadRequestError, Prompt, filler
from replay.cloud.bedrock.quota import QuotaMeter
from replay.cloud.bedrock.streaming.catalogue import load_catalogue
from replay.cloud.bedrock.timing import Lateness, wait_until
from replay.cloud.config import BedrockQuota, CloudConfig
from replay.cloud.http import BodyTooLargeError, aws_error, json_answer, read_body

MAX_BODY_BYTES: Final = 25_000_000
"""InvokeModel takes bodies of up to 25 MB (API reference)."""

_FAULTS: Final = {
    "throttled": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "timeout": (408, "ModelTimeoutException", "Model invocation timed out. Try your request again."),
    "error": (500, "InternalServerException", "The system encountered an unexpected error during processing."),
    "unavailable": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
}
_AT_ONCE: Final = ("throttled", "unavailable")


@dataclass
class _ModelState:
    """What is remembered about one model."""

    cache: PromptCache
    meter: QuotaMeter | None
    requests: int = 0
    throttled: int = 0
    lateness: Lateness = field(default_factory=Lateness)


class BedrockApi:
    """Answers ``POST /model/{id}/converse`` and ``/invoke``.

    Draw ``k`` of a model depends on the seed, the model and ``k`` alone, the number of its valid requests before: two
    runs see the same latencies, whatever happens around them.
    """

    def __init__(self, config: CloudConfig) -> None:
        self.faults = Faults()
        """What tests ask for; replaced as a whole."""
        self._seed = config.seed
        self.catalogue = load_catalogue(config.bedrock_catalogue)
        """The models that stream, and those that Converse answers for besides its own."""
        self._models = ModelTable(config.bedrock_models, self.catalogue)
        self._quotas = config.bedrock_quotas
        self._states: dict[str, _ModelState] = {}
        self._meters: dict[str, QuotaMeter | None] = {}

    def meter(self, model_name: str) -> QuotaMeter | None:
        """Give what meters a model's quotas, whichever operation uses them up; None: it has none."""
        if model_name not in self._meters:
            quota: BedrockQuota | None = first_match(self._quotas, model_name)
            self._meters[model_name] = None if quota is None else QuotaMeter(quota, time.perf_counter())
        return self._meters[model_name]

    def describe(self) -> dict[str, Any]:
        """Give the faults, and per model how many requests came and how late answers left."""
        models = {
            name: {"requests": state.requests, "throttled": state.throttled, "lateness": state.lateness.describe()}
            for name, state in self._states.items()
        }
        return {"faults": asdict(self.faults), "models": models}

    async def handle(self, request: web.BaseRequest, model_id: str, action: str) -> web.Response:
        """Answer one request; ``model_id`` is still percent-encoded."""
        arrived_s = time.perf_counter()
        request_id = str(uuid.uuid4())
        if action not in ("converse", "invoke"):
            return aws_error(501, "NotImplemented", f"the local cloud does not answer {action} yet", request_id)
        try:
            body = await read_body(request, MAX_BODY_BYTES)
            model = self._models.find(unquote(model_id))
            if model is None:
                raise BadRequestError("The provided model identifier is invalid.")
            document = _parse(body)
            prompt = (
                converse.read_request(document)
                if action == "converse"
                else invoke_model.read_request(model.name, document)
            )
            _check_limit(model, prompt)
        except BadRequestError as error:
            return aws_error(400, "ValidationException", str(error), request_id)
        except BodyTooLargeError:
            answer = aws_error(413, "RequestEntityTooLargeException", "The request is too large.", request_id)
            answer.force_close()
            return answer
        return await self._answer(model, prompt, action, arrived_s, request_id)

    async def _answer(
        self, model: Model, prompt: Prompt, action: str, arrived_s: float, request_id: str
    ) -> web.Response:
        state = self._state(model)
        index = state.requests
        state.requests += 1
        max_tokens = prompt.max_tokens or model.traits.max_output_tokens
        if state.meter is not None:
            refusal = state.meter.reserve(prompt.input_tokens, max_tokens, arrived_s)
            if refusal is not None:
                state.throttled += 1
                return aws_error(429, "ThrottlingException", refusal, request_id)
        faults = self.faults
        fault = faults.kind(uniform(self._seed, model.name, "fault", index)) if faults.total_share else None
        latency_ms = model.profile.latency_ms(uniform(self._seed, model.name, "latency", index))
        latency_ms += faults.added_latency_ms
        answer = self._compose(model, state, prompt, max_tokens, index, latency_ms, arrived_s)
        if fault not in _AT_ONCE:
            state.lateness.add(await wait_until(arrived_s + latency_ms / 1000.0))
        if state.meter is not None:
            used = 0 if fault else answer.output_tokens
            state.meter.settle(max_tokens, used, model.traits.output_burndown, time.perf_counter())
        if fault is not None:
            state.throttled += fault == "throttled"
            return aws_error(*_FAULTS[fault], request_id)
        headers = {"x-amzn-RequestId": request_id}
        if action == "converse":
            return json_answer(converse.answer_document(answer), headers=headers)
        headers |= invoke_model.answer_headers(answer)
        return json_answer(invoke_model.answer_document(model.name, answer), headers=headers)

    def _compose(
        self,
        model: Model,
        state: _ModelState,
        prompt: Prompt,
        max_tokens: int,
        index: int,
        latency_ms: float,
        now_s: float,
    ) -> Answer:
        wanted = model.profile.answer_tokens(uniform(self._seed, model.name, "length", index))
        output = min(wanted, max_tokens)
        read, written = state.cache.read(prompt, now_s)
        return Answer(
            text=filler(prompt.input_tokens, output),
            input_tokens=prompt.input_tokens - read - written,
            output_tokens=output,
            cache_read_tokens=read,
            cache_write_tokens=written,
            cut_short=output < wanted,
            latency_ms=latency_ms,
        )

    def _state(self, model: Model) -> _ModelState:
        state = self._states.get(model.name)
        if state is None:
            meter = self.meter(model.name)
            state = self._states[model.name] = _ModelState(PromptCache(model.traits.cache_min_tokens), meter)
        return state


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        raise BadRequestError("Malformed input request, please reformat your input and try again.") from None


def _check_limit(model: Model, prompt: Prompt) -> None:
    limit = model.traits.max_output_tokens
    if prompt.max_tokens is not None and prompt.max_tokens > limit:
        raise BadRequestError(
            f"The maximum tokens you requested exceeds the model limit of {limit}. "
            f"Try again with a maximum tokens value that is lower than {limit}."
        )
