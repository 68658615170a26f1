from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import ServerError
from strongroom.keys.serving import MAXIMUM_PACKAGES
from strongroom.server.catalogue import Catalogue
from strongroom.server.config import ServerConfig, read_config
from strongroom.server.model import ModelDescription


def _model(name: str, version: str) -> ModelDescription:
    return ModelDescription(name, version, "test", "sha256:00", "{}", 3000)


@pytest.mark.parametrize(
    "fields",
    [
        {"packages": ()},
        {"port": -1},
        {"port": 65536},
        {"workers": 0},
        {"threads": 0},
        {"request_bytes": 10},
        {"queue_length": -1},
        {"worker_memory_bytes": 1000},
        {"evaluation_timeout_seconds": 0},
        {"evaluation_timeout_seconds": float("nan")},
        {"read_timeout_seconds": -1},
        {"tls_certificate": "c.pem"},
        {"tls_key": "k.pem"},
        {"key_bytes_per_tenant": 0},
        {"key_bytes_total": -1},
        {"key_chunk_bytes": 2**31},
        {"key_upload_seconds": 0},
        {"key_cache_bytes": -1},
        {"member_urls": {"vendor": "https://vendor.example:8445"}},
        {"loader": "no_colon"},
        {"loader": "module:"},
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(fields: dict[str, Any]) -> None:
    complete: dict[str, Any] = {"packages": ("a",), "tokens": "t"}
    with pytest.raises(ServerError) as caught:
        ServerConfig(**(complete | fields))
    assert caught.value.code == "SR-SERVER-CONFIG"
    assert next(iter(fields)) in str(caught.value)


def test_workers_share_the_processors_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))

    def threads(**fields: int) -> int:
        return ServerConfig(packages=("a",), tokens="t", **fields).evaluation_threads

    assert [threads(workers=workers) for workers in (1, 2, 3, 9)] == [8, 4, 2, 1]
    assert threads(workers=9, threads=5) == 5


def test_keys_are_kept_beside_the_tokens_unless_told_otherwise(tmp_path: Path) -> None:
    config = ServerConfig(packages=("a",), tokens=str(tmp_path / "tokens.json"))
    assert config.keys_at == tmp_path / "evaluation-keys"
    config = ServerConfig(packages=("a",), tokens="t", key_folder=str(tmp_path / "k"))
    assert config.keys_at == tmp_path / "k"


def test_a_configuration_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"packages": ["a", "b"], "tokens": "t", "workers": 3}))
    assert read_config(path) == ServerConfig(packages=("a", "b"), tokens="t", workers=3)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '{"packages":["a"]}',
        '{"packages":["a"],"tokens":"t","typo":1}',
        '{"packages":["a"],"tokens":"t","port":"1"}',
        '{"packages":["a"],"tokens":"t","port":70000}',
    ],
)
def test_a_wrong_configuration_file_gives_one_line(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ServerError, match="SR-SERVER-CONFIG") as caught:
        read_config(path)
    assert "\n" not in str(caught.value)


def test_the_version_configured_last_is_the_default() -> None:
    catalogue = Catalogue([_model("m", "2"), _model("n", "1"), _model("m", "10")], 1 << 20)
    assert catalogue.find("m", None).model.version == "10"
    assert catalogue.find("m", "2").index == 0
    assert json.loads(catalogue.find("m", None).metadata(None))["versions"] == ["2", "10"]


def test_two_packages_of_one_version_are_refused() -> None:
    with pytest.raises(ServerError, match="SR-SERVER-CONFIG"):
        Catalogue([_model("m", "1"), _model("m", "1")], 1 << 20)


@pytest.mark.parametrize(("name", "version"), [("a/b", "1"), ("", "1"), ("a", ""), ("a\n", "1")])
def test_a_name_that_no_url_can_hold_is_refused(name: str, version: str) -> None:
    with pytest.raises(ServerError, match="SR-SERVER-CONFIG"):
        Catalogue([_model(name, version)], 1024)


def test_the_smaller_of_the_servers_and_the_models_limit_counts() -> None:
    assert Catalogue([_model("m", "1")], 1024).find("m", None).body_limit == 1024
    assert Catalogue([_model("m", "1")], 1 << 30).find("m", None).body_limit == 4000 + (64 << 10)


def test_an_unknown_model_or_version_is_not_found() -> None:
    catalogue = Catalogue([_model("m", "1")], 1024)
    for name, version in (("x", None), ("m", "9"), ("x" * 5000, None)):
        with pytest.raises(ServerError, match="SR-SERVER-MODEL") as caught:
            catalogue.find(name, version)
        assert caught.value.http_status == 404
        assert len(str(caught.value)) < 300


def test_no_more_packages_than_a_key_configuration_names() -> None:
    most = tuple(str(number) for number in range(MAXIMUM_PACKAGES))
    ServerConfig(packages=most, tokens="t")
    with pytest.raises(ServerError, match="packages has 257 entries"):
        ServerConfig(packages=(*most, "one more"), tokens="t")
