"""Routes with authorizers and CORS: real tokens of a real pool, forged ones, and functions that say who may pass."""

from __future__ import annotations

import base64
import hmac
import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from joserfc import jwt as jose
from joserfc.jwk import KeySet, RSAKey

from replay.cloud import LocalCloud
from replay.cloud.gateway.jwt import MissingScopeError, RefusedTokenError, verify
from tests.replay.cloud.support import Answer, HttpApi, call, deploy, make_api, unique

# --- what a token must be ---------------------------------------------------------------------------------------------

ISSUER = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_pool"
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})
NOW_S = 1_800_000_000
GOOD = {"iss": ISSUER, "aud": "app", "exp": NOW_S + 60, "iat": NOW_S - 60, "sub": "somebody"}


def token(claims: dict[str, Any], key: Any = KEY, **header: str) -> str:
    return jose.encode({"alg": "RS256", "kid": "one", **header}, claims, key, algorithms=["RS256", "HS256"])


def check(text: str, scopes: tuple[str, ...] = ()) -> dict[str, Any]:
    keys = KeySet.import_key_set({"keys": [KEY.as_dict(private=False)]})
    return verify(text, issuer=ISSUER, audience=["app", "other"], scopes=scopes, now_s=NOW_S, find_keys=lambda _: keys)


def test_a_good_token_passes_and_its_claims_are_text() -> None:
    claims = {**GOOD, "email_verified": True, "cognito:groups": ["a", "b"], "scope": "x y"}
    seen = check(f"Bearer {token(claims)}", ("y",))
    assert seen["scopes"] == ["x", "y"]
    assert (seen["claims"]["email_verified"], seen["claims"]["cognito:groups"]) == ("true", "[a b]")
    assert seen["claims"]["exp"] == str(NOW_S + 60)
    assert check(token(GOOD))["scopes"] is None  # also without the word Bearer, as API Gateway takes it


def test_an_access_token_has_its_audience_in_client_id() -> None:
    claims = {name: value for name, value in GOOD.items() if name != "aud"}
    assert check(token({**claims, "client_id": "app"}))
    with pytest.raises(RefusedTokenError, match="another audience"):
        check(token({**GOOD, "aud": "stranger", "client_id": "app"}))


def encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def forged(algorithm: str, secret: bytes = b"") -> str:
    """Sign by hand what no library would: with nothing, or with the public key as if it were a secret."""
    signed = f"{encode(json.dumps({'alg': algorithm, 'kid': 'one'}).encode())}.{encode(json.dumps(GOOD).encode())}"
    return f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256')) if secret else ''}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no token"),
        ("Bearer ", "no token"),
        ("Bearer nonsense", "not signed"),
        ("Bearer a.b.c", "not signed"),
        (forged("none"), "not signed"),
        (token(GOOD, OTHER), "not signed"),
        (token(GOOD) + "x", "not signed"),
        # The public key taken for a shared secret: the oldest trick.
        (forged("HS256", KEY.as_pem(private=False)), "not signed"),
        (token({**GOOD, "iss": ISSUER + "x"}), "another issuer"),
        (token({**GOOD, "aud": "stranger"}), "another audience"),
        (token({**GOOD, "aud": ["stranger"]}), "another audience"),
        (token({**GOOD, "exp": NOW_S}), "expired"),
        (token({name: value for name, value in GOOD.items() if name != "exp"}), "exp is missing"),
        (token({**GOOD, "nbf": NOW_S + 60}), "not valid yet"),
        (token({**GOOD, "iat": NOW_S + 60}), "not valid yet"),
    ],
)
def test_anything_else_is_refused(text: str, reason: str) -> None:
    with pytest.raises(RefusedTokenError, match=reason):
        check(text)


def test_a_token_without_the_scope_is_good_and_not_enough() -> None:
    with pytest.raises(MissingScopeError):
        check(token({**GOOD, "scope": "read"}), ("write",))


def test_an_issuer_that_is_no_pool_of_this_cloud_has_no_keys() -> None:
    with pytest.raises(RefusedTokenError, match="no user pool of this cloud"):
        verify(token(GOOD), issuer=ISSUER, audience=["app"], scopes=(), now_s=NOW_S)


# --- over HTTP, with a pool -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guarded:
    api: HttpApi
    tokens: dict[str, str]
    strange: str
    """An access token of another client of the same pool."""


def sign_in(cloud: LocalCloud, pool: str, client_id: str) -> dict[str, str]:
    cognito = cloud.client("cognito-idp")
    answer = cognito.admin_initiate_auth(
        UserPoolId=pool,
        ClientId=client_id,
        AuthFlow="ADMIN_USER_PASSWORD_AUTH",
        AuthParameters={"USERNAME": "ada", "PASSWORD": "Correct-horse-1"},
    )["AuthenticationResult"]
    return {"id": answer["IdToken"], "access": answer["AccessToken"]}


@pytest.fixture(scope="module")
def guarded(cloud: LocalCloud) -> Guarded:
    cognito, gateway = cloud.client("cognito-idp"), cloud.client("apigatewayv2")
    pool = cognito.create_user_pool(PoolName=unique("pool"))["UserPool"]["Id"]
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    clients = [
        cognito.create_user_pool_client(UserPoolId=pool, ClientName=name, ExplicitAuthFlows=flows)["UserPoolClient"]
        for name in ("app", "stranger")
    ]
    cognito.admin_create_user(UserPoolId=pool, Username="ada")
    cognito.admin_set_user_password(UserPoolId=pool, Username="ada", Password="Correct-horse-1", Permanent=True)
    api = make_api(cloud, deploy(cloud), routes=())
    authorizer = gateway.create_authorizer(
        ApiId=api.api_id,
        Name="jwt",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={
            "Issuer": f"https://cognito-idp.us-east-1.amazonaws.com/{pool}",
            "Audience": [clients[0]["ClientId"]],
        },
    )
    for key, scopes in (("POST /echo", []), ("POST /echo/scoped", ["api/ask"])):
        gateway.create_route(
            ApiId=api.api_id,
            RouteKey=key,
            AuthorizationType="JWT",
            AuthorizerId=authorizer["AuthorizerId"],
            AuthorizationScopes=scopes,
            Target=f"integrations/{api.integration_id}",
        )
    tokens = sign_in(cloud, pool, clients[0]["ClientId"])
    return Guarded(api, tokens, sign_in(cloud, pool, clients[1]["ClientId"])["access"])


def post(api: HttpApi, path: str, **headers: str) -> Answer:
    return call(f"{api.url}{path}", "{}", headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize("kind", ["id", "access"])
def test_a_token_of_the_pool_opens_the_route_and_the_function_learns_whose(guarded: Guarded, kind: str) -> None:
    answer = post(guarded.api, "/echo", Authorization=f"Bearer {guarded.tokens[kind]}")
    assert answer.status == 200
    claims = answer.json()["requestContext"]["authorizer"]["jwt"]["claims"]
    assert claims["token_use"] == kind
    assert claims["sub"]


def test_without_a_good_token_the_answer_is_401(guarded: Guarded) -> None:
    head, body, signature = guarded.tokens["access"].split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    later = base64.urlsafe_b64encode(json.dumps({**claims, "exp": int(time.time()) + 10**6}).encode()).decode()
    tampered = f"{head}.{later.rstrip('=')}.{signature}"
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": tampered}, {"Authorization": guarded.strange}):
        answer = post(guarded.api, "/echo", **headers)
        assert (answer.status, answer.json()) == (401, {"message": "Unauthorized"})


def test_without_the_scope_the_answer_is_403(guarded: Guarded) -> None:
    answer = post(guarded.api, "/echo/scoped", Authorization=guarded.tokens["access"])
    assert (answer.status, answer.json()) == (403, {"message": "Forbidden"})


# --- functions that say who may pass ----------------------------------------------------------------------------------

ASKED = """
    COUNT = 0

    def handler(event, context):
        global COUNT
        COUNT += 1
        key = event["identitySource"][0]
        if key == "raise":
            raise ValueError("broken")
        if key == "odd":
            return {"allowed": True}
        assert event["type"] == "REQUEST" and "body" not in event
        return {"isAuthorized": key.startswith("good"), "context": {"tenant": key, "count": COUNT}}
"""


def make_keyed(
    cloud: LocalCloud, *, ttl_s: int = 300, permission: bool = True, method: str = "POST", **settings: Any
) -> HttpApi:
    gateway, client = cloud.client("apigatewayv2"), cloud.client("lambda")
    api, function = make_api(cloud, deploy(cloud), routes=()), deploy(cloud, ASKED)
    arn = client.get_function_configuration(FunctionName=function)["FunctionArn"]
    authorizer = gateway.create_authorizer(
        ApiId=api.api_id,
        Name="keys",
        AuthorizerType="REQUEST",
        AuthorizerUri=f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations",
        IdentitySource=["$request.header.x-api-key"],
        AuthorizerPayloadFormatVersion="2.0",
        AuthorizerResultTtlInSeconds=ttl_s,
        **{"EnableSimpleResponses": True, **settings},
    )["AuthorizerId"]
    gateway.create_route(
        ApiId=api.api_id,
        RouteKey=f"{method} /echo",
        AuthorizationType="CUSTOM",
        AuthorizerId=authorizer,
        Target=f"integrations/{api.integration_id}",
    )
    if permission:
        client.add_permission(
            FunctionName=function,
            StatementId="gateway",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
            SourceArn=f"arn:aws:execute-api:us-east-1:123456789012:{api.api_id}/authorizers/{authorizer}",
        )
    return api


@pytest.fixture(scope="module")
def keyed(cloud: LocalCloud) -> HttpApi:
    return make_keyed(cloud)


def test_what_the_authorizer_says_reaches_the_function_and_is_kept(keyed: HttpApi) -> None:
    seen = [post(keyed, "/echo", x_api_key="good-1") for _ in range(3)]
    assert [answer.status for answer in seen] == [200] * 3
    contexts = [answer.json()["requestContext"]["authorizer"]["lambda"] for answer in seen]
    assert contexts[0]["tenant"] == "good-1"
    assert len({context["count"] for context in contexts}) == 1
    other = post(keyed, "/echo", x_api_key="good-2").json()["requestContext"]["authorizer"]["lambda"]
    assert other["tenant"] == "good-2"


@pytest.mark.parametrize(("key", "status"), [("bad", 403), ("", 401), (None, 401), ("raise", 500), ("odd", 500)])
def test_whoever_is_not_let_in_stays_outside(keyed: HttpApi, key: str | None, status: int) -> None:
    for _ in range(2):
        assert post(keyed, "/echo", **({} if key is None else {"x_api_key": key})).status == status


def test_without_a_ttl_each_request_is_asked_about(cloud: LocalCloud) -> None:
    api = make_keyed(cloud, ttl_s=0)
    counts = [
        post(api, "/echo", x_api_key="good").json()["requestContext"]["authorizer"]["lambda"]["count"] for _ in range(3)
    ]
    assert counts == [1, 2, 3]


def test_an_authorizer_that_may_not_be_asked_lets_nobody_in(cloud: LocalCloud) -> None:
    assert post(make_keyed(cloud, permission=False), "/echo", x_api_key="good").status == 500


def test_policies_as_answers_are_said_to_be_missing(cloud: LocalCloud) -> None:
    assert post(make_keyed(cloud, EnableSimpleResponses=False), "/echo", x_api_key="good").status == 501


# --- CORS -------------------------------------------------------------------------------------------------------------


def share(cloud: LocalCloud, api: HttpApi) -> HttpApi:
    cloud.client("apigatewayv2").update_api(
        ApiId=api.api_id,
        CorsConfiguration={
            "AllowOrigins": ["https://app.example.com"],
            "AllowMethods": ["POST"],
            "AllowHeaders": ["content-type", "authorization"],
            "ExposeHeaders": ["x-request-id"],
            "MaxAge": 600,
        },
    )
    return api


@pytest.fixture(scope="module")
def shared(cloud: LocalCloud) -> HttpApi:
    return share(cloud, make_api(cloud, deploy(cloud), routes=("POST /echo",)))


def preflight(api: HttpApi, origin: str) -> Answer:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return call(f"{api.url}/echo", method="OPTIONS", headers=headers)


def test_the_gateway_answers_preflights_itself(shared: HttpApi) -> None:
    answer = preflight(shared, "https://app.example.com")
    assert answer.status == 204
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    assert answer.headers["access-control-allow-methods"] == "POST"
    assert answer.headers["access-control-allow-headers"] == "content-type,authorization"
    assert answer.headers["access-control-max-age"] == "600"
    assert "access-control-allow-origin" not in preflight(shared, "https://evil.example.com").headers


def test_a_route_for_every_method_asks_a_preflight_for_credentials_too(cloud: LocalCloud) -> None:
    """A route for POST leaves preflights to the gateway; one for ANY catches them, and browsers send no key."""
    by_method = {method: share(cloud, make_keyed(cloud, method=method)) for method in ("POST", "ANY")}
    assert preflight(by_method["POST"], "https://app.example.com").status == 204
    assert preflight(by_method["ANY"], "https://app.example.com").status == 401
    open_to_all = share(cloud, make_api(cloud, deploy(cloud), routes=("ANY /echo",)))
    assert preflight(open_to_all, "https://app.example.com").status == 204


def test_answers_to_an_allowed_origin_say_so_and_others_do_not(shared: HttpApi) -> None:
    allowed = post(shared, "/echo", Origin="https://app.example.com").headers
    assert allowed["access-control-allow-origin"] == "https://app.example.com"
    assert allowed["access-control-expose-headers"] == "x-request-id"
    assert "access-control-allow-origin" not in post(shared, "/echo", Origin="https://evil.example.com").headers
    # Refusals too, or a page could not tell why.
    refused = call(f"{shared.url}/nothing", "{}", headers={"Origin": "https://app.example.com"})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (404, "https://app.example.com")


def test_the_functions_own_cors_headers_are_ignored(cloud: LocalCloud) -> None:
    source = "def handler(e, c):\n    return {'statusCode': 200, 'headers': {'Access-Control-Allow-Origin': '*'}}\n"
    api = make_api(cloud, deploy(cloud, source), routes=("POST /echo",))
    assert post(api, "/echo", Origin="https://evil.example.com").headers["access-control-allow-origin"] == "*"
    cloud.client("apigatewayv2").update_api(
        ApiId=api.api_id, CorsConfiguration={"AllowOrigins": ["https://app.example.com"]}
    )
    assert "access-control-allow-origin" not in post(api, "/echo", Origin="https://evil.example.com").headers
    allowed = post(api, "/echo", Origin="https://app.example.com").headers
    assert allowed["access-control-allow-origin"] == "https://app.example.com"
