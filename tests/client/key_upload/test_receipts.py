"""Receipts of a real server, whose worker signs them: a model that computes on encrypted rows."""

from __future__ import annotations

from collections.abc import Callable

from key_servers import KeyServer, ask
from model_owner import OWNER

from strongroom.client.client import Client
from strongroom.receipts.receipt import verify_receipt


def test_every_answer_of_a_server_comes_with_a_receipt_that_holds(
    serve: Callable[..., KeyServer], connect: Callable[..., Client]
) -> None:
    server = serve()
    with connect(server, receipts=True) as client:
        ask(client)
        (receipt,) = client.receipts
        assert verify_receipt(receipt.text, OWNER.public) == receipt
        assert receipt.statement.package == client.package_digest
        assert receipt.server == client.server
        ask(client)
        (second,) = client.receipts
        assert second.statement.request != receipt.statement.request
    with connect(server) as client:
        ask(client)
        assert client.receipts == ()
