"""A page that a browser shows must not reach what deploys and runs code."""

from __future__ import annotations

import pytest

from replay.cloud import LocalCloud
from replay.cloud.browsers import refusal
from tests.replay.cloud.support import HttpApi, call, deploy, make_api


@pytest.fixture(scope="module")
def api(cloud: LocalCloud) -> HttpApi:
    return make_api(cloud, deploy(cloud), routes=("POST /echo",))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "https://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "evil.example.com"}, 403),
        ({"Host": "localhost:5000"}, 200),
    ],
)
def test_a_function_is_not_invoked_for_a_page_of_somewhere_else(
    cloud: LocalCloud, api: HttpApi, headers: dict[str, str], status: int
) -> None:
    url = f"{cloud.endpoint_url}/2015-03-31/functions/{api.function}/invocations"
    assert call(url, "{}", headers=headers).status == status


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example.com"}, {"Host": "evil.example.com:80"}])
@pytest.mark.parametrize("path", ["/", "/2015-03-31/functions", "/_tailcast/flush", "/model/m/converse"])
def test_nothing_else_is_done_for_it_either(cloud: LocalCloud, path: str, headers: dict[str, str]) -> None:
    answer = call(f"{cloud.endpoint_url}{path}", "{}", headers=headers)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers
    assert "evil.example.com" in answer.json()["message"]


def test_apis_answer_pages_but_not_by_a_name_of_the_pages_own(api: HttpApi) -> None:
    assert call(f"{api.url}/echo", "{}", headers={"Origin": "https://app.example.com"}).status == 200
    assert call(f"{api.url}/echo", "{}", headers={"Host": f"{api.api_id}.execute-api.example.com"}).status == 403


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:5000", "[::1]:80", "172.17.0.1", "cloud:5000", "a.localhost", "host.docker.internal:5000",
     "x1.execute-api.us-east-1.amazonaws.com", "x1.lambda-url.us-east-1.on.aws", ""],
)  # fmt: skip
def test_names_that_no_stranger_can_own_are_ours(host: str) -> None:
    assert refusal({"Host": host}, for_pages=False) is None


@pytest.mark.parametrize("host", ["127.0.0.1.example.com", "localhost.example.com", "amazonaws.com.evil.dev", "[::1"])
def test_names_that_only_look_like_it_are_not(host: str) -> None:
    assert refusal({"Host": host}, for_pages=True) is not None
