"""ListFoundationModels, GetFoundationModel, ListInferenceProfiles and GetInferenceProfile, from the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from replay.cloud.bedrock.streaming.catalogue import Catalogue, Model
from replay.cloud.bedrock.streaming.requests import RefusedError, invalid

_MAX_RESULTS: Final = 1000
_CREATED: Final = "2025-01-01T00:00:00Z"
_PATH: Final = re.compile(r"/(?P<kind>foundation-models|inference-profiles)(?:/(?P<id>.+))?")


def is_listing(method: str, path: str) -> bool:
    """Say whether a request is one of this module's."""
    return method == "GET" and _PATH.fullmatch(path) is not None


def answer(catalogue: Catalogue, path: str, query: Mapping[str, str], region: str, account: str) -> dict[str, Any]:
    """Answer one of the four operations.

    Raises
    ------
    RefusedError
        An unknown id, or a token that no answer gave.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise RefusedError(404, "UnknownOperationException", f"no operation at {path}")
    wanted = unquote(match["id"]) if match["id"] else None
    if match["kind"] == "foundation-models":
        if wanted is not None:
            found = catalogue.find(wanted)
            if found is None or found[1] is not None or not _offered(found[0], region):
                raise invalid("The provided model identifier is invalid.")
            return {"modelDetails": _model(found[0], region)}
        return {"modelSummaries": _models(catalogue, query, region)}
    profiles = _profiles(catalogue, region, account)
    if wanted is not None:
        name = wanted.rsplit("/", 1)[-1]
        one = next((profile for profile in profiles if profile["inferenceProfileId"] == name), None)
        if one is None:
            raise RefusedError(404, "ResourceNotFoundException", f"Could not find inference profile {name}.")
        return one
    if query.get("type", "SYSTEM_DEFINED") != "SYSTEM_DEFINED":
        profiles = []
    return _page(profiles, query)


def _offered(model: Model, region: str) -> bool:
    return region in model.regions or any(region in regions for regions in model.profiles.values())


def _models(catalogue: Catalogue, query: Mapping[str, str], region: str) -> list[dict[str, Any]]:
    provider, modality = query.get("byProvider"), query.get("byOutputModality", "TEXT")
    inference = query.get("byInferenceType")
    summaries = [_model(model, region) for model in catalogue.models.values() if _offered(model, region)]
    return [
        summary
        for summary in summaries
        if (provider is None or summary["providerName"].lower() == provider.lower())
        and modality in summary["outputModalities"]
        and (inference is None or inference in summary["inferenceTypesSupported"])
        and not query.get("byCustomizationType")
    ]


def _model(model: Model, region: str) -> dict[str, Any]:
    types = ["ON_DEMAND"] if region in model.regions else []
    if any(region in regions for regions in model.profiles.values()):
        types.append("INFERENCE_PROFILE")
    return {
        "modelArn": _model_arn(model, region),
        "modelId": model.model_id,
        "modelName": model.name,
        "providerName": model.provider,
        "inputModalities": ["TEXT"],
        "outputModalities": ["TEXT"],
        "responseStreamingSupported": model.streaming,
        "customizationsSupported": [],
        "inferenceTypesSupported": types,
        "modelLifecycle": {"status": model.lifecycle},
    }


def _profiles(catalogue: Catalogue, region: str, account: str) -> list[dict[str, Any]]:
    found = []
    for model in catalogue.models.values():
        for prefix, regions in model.profiles.items():
            if region not in regions:
                continue
            profile_id = f"{prefix}.{model.model_id}"
            found.append(
                {
                    "inferenceProfileName": f"{prefix.upper()} {model.name}",
                    "description": f"Routes requests to {model.name} in {', '.join(regions)}.",
                    "createdAt": _CREATED,
                    "updatedAt": _CREATED,
                    "inferenceProfileArn": f"arn:aws:bedrock:{region}:{account}:inference-profile/{profile_id}",
                    "models": [{"modelArn": _model_arn(model, each)} for each in regions],
                    "inferenceProfileId": profile_id,
                    "status": "ACTIVE",
                    "type": "SYSTEM_DEFINED",
                }
            )
    return sorted(found, key=lambda profile: str(profile["inferenceProfileId"]))


def _page(profiles: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    try:
        start = int(query.get("nextToken", "0"))
        size = int(query.get("maxResults", _MAX_RESULTS))
    except ValueError:
        raise invalid("The pagination token or maxResults is not valid.") from None
    page: dict[str, Any] = {"inferenceProfileSummaries": profiles[start : start + size]}
    if start + size < len(profiles):
        page["nextToken"] = str(start + size)
    return page


def _model_arn(model: Model, region: str) -> str:
    return f"arn:aws:bedrock:{region}::foundation-model/{model.model_id}"
