"""JWT authorizers: the checks that API Gateway makes of a token, against the keys of the pool that issued it.

Source: API Gateway developer guide, "Control access to HTTP APIs with JWT authorizers".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from moto.cognitoidp.models import cognitoidp_backends

from replay.cloud.config import ACCOUNT_ID

ALGORITHMS: Final = ["RS256", "RS384", "RS512"]
"""Only those of RSA keys, as API Gateway; so never ``none``, and no key of ours taken for a shared secret."""
_POOL_ISSUER: Final = re.compile(r"https://cognito-idp\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<pool>[\w-]+)")

FindKeys = Callable[[str], KeySet | None]
"""Issuer → its public keys, None where it is unknown."""


class RefusedTokenError(Exception):
    """The token is missing or wrong: 401. The text is for the log."""


class MissingScopeError(Exception):
    """The token is good, and lacks the route's scope: 403."""


def pool_keys(issuer: str) -> KeySet | None:
    """Give the public keys of a user pool of this cloud."""
    match = _POOL_ISSUER.fullmatch(issuer.rstrip("/"))
    if match is None:
        return None
    pool = cognitoidp_backends[ACCOUNT_ID][match["region"]].user_pools.get(match["pool"])
    if pool is None:
        return None
    return KeySet.import_key_set({"keys": [pool.json_web_key.as_dict(private=False)]})


def verify(
    token: str,
    *,
    issuer: str,
    audience: Collection[str],
    scopes: Collection[str],
    now_s: float,
    find_keys: FindKeys = pool_keys,
) -> dict[str, Any]:
    """Check a token; give what the function is told of it, ``{"claims": …, "scopes": …}``.

    Parameters
    ----------
    token
        The header's value, with or without ``Bearer``.
    issuer, audience
        As the authorizer is configured. ``client_id`` is looked at where there is no ``aud``, as in Cognito's access
        tokens.
    scopes
        Of the route; the token needs one of them. Empty for none.
    now_s
        Seconds since the epoch.
    find_keys
        Where the issuer's keys are.

    Raises
    ------
    RefusedTokenError
        No token, no signature of the issuer's, another issuer or audience, expired, or not yet valid.
    MissingScopeError
        None of ``scopes`` is in the token.
    """
    bare = re.sub(r"(?i)^bearer(\s+|$)", "", token.strip())
    if not bare:
        raise RefusedTokenError("no token")
    keys = find_keys(issuer)
    if keys is None:
        raise RefusedTokenError(f"issuer {issuer!r} is no user pool of this cloud")
    try:
        claims: dict[str, Any] = jwt.decode(bare, keys, algorithms=ALGORITHMS).claims
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise RefusedTokenError(f"not signed by the issuer ({type(error).__name__})") from error
    _check_claims(claims, issuer, audience, now_s)
    granted = str(claims.get("scope", "")).split()
    if scopes and not set(scopes) & set(granted):
        raise MissingScopeError(f"none of the scopes {sorted(scopes)}")
    return {"claims": {name: _flat(value) for name, value in claims.items()}, "scopes": granted or None}


def _check_claims(claims: Mapping[str, Any], issuer: str, audience: Collection[str], now_s: float) -> None:
    if claims.get("iss") != issuer:
        raise RefusedTokenError("another issuer")
    own = claims.get("aud", claims.get("client_id"))
    if not set(own if isinstance(own, list) else [own]) & set(audience):
        raise RefusedTokenError("another audience")
    expires, begins, issued = claims.get("exp"), claims.get("nbf", 0), claims.get("iat", 0)
    times = (expires, begins, issued)
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in times):
        raise RefusedTokenError("exp is missing, or a time is no number")
    if not now_s < float(expires or 0):
        raise RefusedTokenError("expired")
    if float(begins) > now_s or float(issued) > now_s + 1:  # clocks that issue tokens round up
        raise RefusedTokenError("not valid yet")


def _flat(value: Any) -> str:
    """Write a claim as the gateway does: everything is text, lists in brackets."""
    if isinstance(value, list):
        return f"[{' '.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
