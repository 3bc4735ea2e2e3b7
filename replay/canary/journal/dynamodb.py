"""A journal in a DynamoDB table: conditional writes keep two controllers apart, on whatever machines they run.

One partition per rolled-out alias (``FUNCTION:ALIAS``), one item each for the lease, every line and every command. A
line is written in one transaction with a check of the lease's token, so that the fence is the table's, not the caller's
clock's.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from replay.aws import error_code
from replay.canary.errors import JournalDownError, LeaseHeldError, LeaseLostError
from replay.canary.journal.memory import held_message, lost_message, taken_message
from replay.canary.journal.model import Command, Lease, Line
from replay.errors import CloudError

DEFAULT_TABLE: Final = "tailcast-canary"
_LAST: Final = "~"
"""Sorts after every number and id."""
_WAITER: Final = {"Delay": 1, "MaxAttempts": 30}


class DynamoJournal:
    """See :class:`replay.canary.journal.model.Journal`.

    Parameters
    ----------
    client
        A boto3 ``dynamodb`` client; its time-outs are the deadlines.
    scope
        ``FUNCTION:ALIAS``.
    table
        Name of the table; :meth:`ensure_table` makes it.
    """

    def __init__(self, client: Any, scope: str, table: str = DEFAULT_TABLE) -> None:
        self._client = client
        self._scope = scope
        self._table = table

    def ensure_table(self, *, create: bool = True) -> bool:
        """Make the table where it does not exist; True where it was made. Billed per request: idle it costs nothing.

        Raises
        ------
        JournalDownError
            DynamoDB does not answer; or there is no table, and none is to be made.
        """
        from botocore.exceptions import ClientError

        with self._answering("making the table"):
            try:
                self._client.describe_table(TableName=self._table)
                return False
            except ClientError as error:
                if error_code(error) != "ResourceNotFoundException":
                    raise
                if not create:
                    raise JournalDownError(
                        f"journal {self._table}: there is no such table; `tailcast deploy` makes an environment's, "
                        "`tailcast canary start --function` the one of a function by itself"
                    ) from error
            try:
                self._client.create_table(
                    TableName=self._table,
                    AttributeDefinitions=[
                        {"AttributeName": "scope", "AttributeType": "S"},
                        {"AttributeName": "item", "AttributeType": "S"},
                    ],
                    KeySchema=[
                        {"AttributeName": "scope", "KeyType": "HASH"},
                        {"AttributeName": "item", "KeyType": "RANGE"},
                    ],
                    BillingMode="PAY_PER_REQUEST",
                )
            except ClientError as error:
                if error_code(error) != "ResourceInUseException":
                    raise
            self._client.get_waiter("table_exists").wait(TableName=self._table, WaiterConfig=_WAITER)
            return True

    # ---- lease -----------------------------------------------------------------------------------------------------

    def acquire(self, holder: str, ttl_s: float, now_s: float) -> Lease:
        """Take the lease: one conditional update that also raises the token."""
        from botocore.exceptions import ClientError

        with self._answering("taking the lease"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=self._key("lease"),
                    UpdateExpression="SET holder = :holder, until_s = :until ADD fence :one",
                    ConditionExpression="attribute_not_exists(holder) OR until_s <= :now OR holder = :holder",
                    ExpressionAttributeValues={
                        ":holder": {"S": holder},
                        ":until": {"N": repr(now_s + ttl_s)},
                        ":now": {"N": repr(now_s)},
                        ":one": {"N": "1"},
                    },
                    ReturnValues="ALL_NEW",
                )
            except ClientError as error:
                if error_code(error) != "ConditionalCheckFailedException":
                    raise
                current = self.holder(now_s)
                if current is None:
                    return self.acquire(holder, ttl_s, now_s)
                raise LeaseHeldError(held_message(current, now_s)) from error
        return _lease(answer["Attributes"])

    def renew(self, lease: Lease, ttl_s: float, now_s: float) -> Lease:
        """Extend the lease."""
        from botocore.exceptions import ClientError

        with self._answering("renewing the lease"):
            try:
                answer = self._client.update_item(
                    TableName=self._table,
                    Key=self._key("lease"),
                    UpdateExpression="SET until_s = :until",
                    ConditionExpression="fence = :fence",
                    ExpressionAttributeValues={
                        ":until": {"N": repr(now_s + ttl_s)},
                        ":fence": {"N": str(lease.token)},
                    },
                    ReturnValues="ALL_NEW",
                )
            except ClientError as error:
                if error_code(error) == "ConditionalCheckFailedException":
                    raise LeaseLostError(lost_message(lease)) from error
                raise
        return _lease(answer["Attributes"])

    def release(self, lease: Lease) -> None:
        """Give the lease back: it stays, expired, so that tokens keep growing."""
        try:
            self.renew(lease, 0.0, 0.0)
        except LeaseLostError:
            return

    def holder(self, now_s: float) -> Lease | None:
        """Give the lease that is held now."""
        with self._answering("reading the lease"):
            answer = self._client.get_item(TableName=self._table, Key=self._key("lease"), ConsistentRead=True)
        lease = _lease(answer["Item"]) if "Item" in answer else None
        return lease if lease is not None and lease.until_s > now_s else None

    # ---- lines -----------------------------------------------------------------------------------------------------

    def append(self, lease: Lease, line: Line) -> None:
        """Write a line in one transaction with the check of the token."""
        from botocore.exceptions import ClientError

        item = {
            **self._key(_line_key(line.rollout_id, line.number)),
            "rollout": {"S": line.rollout_id},
            "number": {"N": str(line.number)},
            "at_s": {"N": repr(line.at_s)},
            "fence": {"N": str(line.token)},
            "kind": {"S": line.kind},
            "data": {"S": json.dumps(line.data, separators=(",", ":"))},
        }
        with self._answering(f"writing line {line.number}"):
            try:
                self._client.transact_write_items(
                    TransactItems=[
                        {
                            "ConditionCheck": {
                                "TableName": self._table,
                                "Key": self._key("lease"),
                                "ConditionExpression": "fence = :fence",
                                "ExpressionAttributeValues": {":fence": {"N": str(lease.token)}},
                            }
                        },
                        {
                            "Put": {
                                "TableName": self._table,
                                "Item": item,
                                "ConditionExpression": "attribute_not_exists(#item)",
                                "ExpressionAttributeNames": {"#item": "item"},
                            }
                        },
                    ],
                )
            except ClientError as error:
                if error_code(error) != "TransactionCanceledException":
                    raise
                self._explain(lease, line, item, error)

    def _explain(self, lease: Lease, line: Line, item: dict[str, Any], error: Exception) -> None:
        """Find out why a write was refused; one that was sent again, after a lost answer, has succeeded before."""
        answer = self._client.get_item(
            TableName=self._table, Key=self._key(_line_key(line.rollout_id, line.number)), ConsistentRead=True
        )
        found = answer.get("Item")
        current = self._client.get_item(TableName=self._table, Key=self._key("lease"), ConsistentRead=True)
        if "Item" not in current or int(current["Item"]["fence"]["N"]) != lease.token:
            raise LeaseLostError(lost_message(lease)) from error
        # A token has one holder, so what bears this one was written by this controller.
        if found is not None and all(found[name] == item[name] for name in ("fence", "kind", "data")):
            return
        if found is not None:
            raise LeaseLostError(taken_message(line)) from error
        # Neither reason holds: another transaction was in the way (TransactionConflict).
        raise JournalDownError(f"journal {self._table}: line {line.number} was refused; trying again") from error

    def lines(self, rollout_id: str, *, looks: bool = True) -> Sequence[Line]:
        """Give a rollout's lines in order."""
        items = self._query(f"line#{rollout_id}#", looks=looks)
        return [
            Line(
                item["rollout"]["S"],
                int(item["number"]["N"]),
                float(item["at_s"]["N"]),
                int(item["fence"]["N"]),
                item["kind"]["S"],
                json.loads(item["data"]["S"]),
            )
            for item in items
        ]

    def rollouts(self) -> Sequence[str]:
        """Give the ids of all rollouts: those that have a first line."""
        found: list[str] = []
        request: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "Limit": 1,
            "KeyConditionExpression": "#scope = :scope AND #item BETWEEN :after AND :last",
            "ExpressionAttributeNames": {"#scope": "scope", "#item": "item"},
        }
        after = "line#"
        with self._answering("reading"):
            while True:
                # From the first line of one rollout to the first of the next: a filter would read all that is between.
                request["ExpressionAttributeValues"] = {
                    ":scope": {"S": self._scope}, ":after": {"S": after}, ":last": {"S": f"line#{_LAST}"}
                }  # fmt: skip
                items = self._client.query(**request)["Items"]
                if not items:
                    return found
                rollout_id = items[0]["rollout"]["S"]
                if items[0]["number"]["N"] == "0":
                    found.append(rollout_id)
                after = f"line#{rollout_id}#{_LAST}"

    # ---- commands --------------------------------------------------------------------------------------------------

    def post(self, rollout_id: str, command: Command) -> None:
        """Leave a command."""
        key = f"command#{rollout_id}#{command.at_s:017.6f}#{uuid.uuid4().hex[:8]}"
        with self._answering("leaving a command"):
            self._client.put_item(
                TableName=self._table,
                Item={
                    **self._key(key),
                    "name": {"S": command.name},
                    "at_s": {"N": repr(command.at_s)},
                    "who": {"S": command.who},
                },
            )

    def commands(self, rollout_id: str, since_s: float) -> Sequence[Command]:
        """Give the commands left after ``since_s``."""
        found = [
            Command(item["name"]["S"], float(item["at_s"]["N"]), item["who"]["S"])
            for item in self._query(f"command#{rollout_id}#", looks=True)
        ]
        return [command for command in found if command.at_s > since_s]

    # ---- calls -----------------------------------------------------------------------------------------------------

    def _key(self, item: str) -> dict[str, Any]:
        return {"scope": {"S": self._scope}, "item": {"S": item}}

    def _query(self, prefix: str, *, looks: bool) -> list[dict[str, Any]]:
        request: dict[str, Any] = {
            "TableName": self._table,
            "ConsistentRead": True,
            "KeyConditionExpression": "#scope = :scope AND begins_with(#item, :prefix)",
            "ExpressionAttributeNames": {"#scope": "scope", "#item": "item"},
            "ExpressionAttributeValues": {":scope": {"S": self._scope}, ":prefix": {"S": prefix}},
        }
        if not looks:
            request["FilterExpression"] = "#kind <> :look"
            request["ExpressionAttributeNames"]["#kind"] = "kind"
            request["ExpressionAttributeValues"][":look"] = {"S": "look"}
        found: list[dict[str, Any]] = []
        with self._answering("reading"):
            while True:
                answer = self._client.query(**request)
                found += answer["Items"]
                if "LastEvaluatedKey" not in answer:
                    return found
                request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    @contextmanager
    def _answering(self, doing: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (ClientError, BotoCoreError) as error:
            reason = " ".join(str(error).split())
            raise JournalDownError(f"journal {self._table} ({self._scope}): {doing}: {reason}") from error
        except CloudError as error:
            raise JournalDownError(f"journal {self._table} ({self._scope}): {doing}: {error}") from error


def _lease(item: dict[str, Any]) -> Lease:
    return Lease(item["holder"]["S"], int(item["fence"]["N"]), float(item["until_s"]["N"]))


def _line_key(rollout_id: str, number: int) -> str:
    return f"line#{rollout_id}#{number:08d}"
