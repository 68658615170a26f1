from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

import pytest

from strongroom.errors import ServerError
from strongroom.server.tokens import TokenFile, create_token, list_tokens, revoke_token


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_a_token_has_256_bits_and_only_its_hash_is_in_the_file(path: Path) -> None:
    token = create_token(path, "hospital")
    assert len(token.removeprefix("sr_")) == 43
    assert token.removeprefix("sr_") not in path.read_text()
    (entry,) = list_tokens(path)
    assert entry.sha256 == hashlib.sha256(token.encode()).hexdigest()
    assert entry.tenant == "hospital"
    assert entry.sha256.startswith(entry.id)


def test_the_file_belongs_to_its_owner_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        create_token(path, "hospital")
    finally:
        os.umask(old)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["tokens.json"]


def test_each_token_opens_its_own_tenant_and_nothing_else_does(path: Path) -> None:
    first, second = create_token(path, "hospital"), create_token(path, "bank")
    tokens = TokenFile(path)
    assert tokens.tenant(first) == "hospital"
    assert tokens.tenant(second) == "bank"
    for wrong in ("", first[:-1], first + "x", first.upper(), "é", "\udcff"):
        assert tokens.tenant(wrong) is None


def test_a_revoked_token_is_refused_by_a_running_server(path: Path) -> None:
    token = create_token(path, "hospital")
    create_token(path, "bank")
    tokens = TokenFile(path)
    assert tokens.tenant(token) == "hospital"
    revoke_token(path, list_tokens(path)[0].id)
    assert tokens.tenant(token) is None
    assert [entry.tenant for entry in list_tokens(path)] == ["bank"]


def test_a_new_token_is_accepted_by_a_running_server(path: Path) -> None:
    create_token(path, "hospital")
    tokens = TokenFile(path)
    assert tokens.tenant(create_token(path, "bank")) == "bank"


@pytest.mark.parametrize("damage", ["missing", "truncated", "readable", "hash", "tenant"])
def test_a_file_that_goes_bad_lets_nobody_in(path: Path, damage: str) -> None:
    token = create_token(path, "hospital")
    tokens = TokenFile(path)
    text = path.read_text()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_text(text[:-10])
    elif damage == "readable":
        path.chmod(0o640)
    else:
        table = json.loads(text)
        wrong = {"hash": {"sha256": "ab"}, "tenant": {"tenant": "../clinic"}}[damage]
        table["tokens"][0] |= wrong
        path.write_text(json.dumps(table))
    assert tokens.tenant(token) is None
    with pytest.raises(ServerError, match="SR-SERVER-CONFIG"):
        list_tokens(path)
    with pytest.raises(ServerError, match="SR-SERVER-CONFIG"):
        TokenFile(path)


def test_a_file_that_recovers_lets_its_tenants_in_again(path: Path) -> None:
    token = create_token(path, "hospital")
    tokens = TokenFile(path)
    path.chmod(0o644)
    assert tokens.tenant(token) is None
    path.chmod(0o600)
    assert tokens.tenant(token) == "hospital"


@pytest.mark.parametrize("tenant", ["", "a b", "-x", "x" * 65, "a/b", "a\nb"])
def test_a_tenant_name_that_could_confuse_a_log_is_refused(path: Path, tenant: str) -> None:
    with pytest.raises(ServerError, match="SR-SERVER-CONFIG"):
        create_token(path, tenant)
    assert not path.exists()


def test_revoking_an_unknown_token_says_so(path: Path) -> None:
    create_token(path, "hospital")
    with pytest.raises(ServerError, match="SR-SERVER-TOKEN"):
        revoke_token(path, "0" * 12)
    assert len(list_tokens(path)) == 1


def test_tokens_made_at_the_same_time_are_all_kept(path: Path) -> None:
    threads = [
        threading.Thread(target=create_token, args=(path, f"tenant{number}")) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {entry.tenant for entry in list_tokens(path)} == {f"tenant{n}" for n in range(8)}
