"""The manifest: canonical, bounded, bound to plan and payload."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from model_owner import OWNER

from strongroom.canonical import canonical_json, digest
from strongroom.compiler.plan import Plan
from strongroom.errors import PackageError
from strongroom.package.manifest import (
    MAXIMUM_MANIFEST_BYTES,
    Manifest,
    Parity,
    decode_manifest,
    encode_manifest,
    new_manifest,
)
from strongroom.package.protected import Package


def test_decoding_gives_back_the_manifest_and_the_same_bytes(package: Package) -> None:
    data = encode_manifest(package.manifest)
    assert decode_manifest(data) == package.manifest
    assert encode_manifest(decode_manifest(data)) == data
    assert package.digest == digest(data)


def test_whole_numbers_in_fields_of_floating_point_do_not_change_the_bytes(
    plan: Plan, parity: Parity
) -> None:
    whole = msgspec.structs.replace(
        plan,
        layout=msgspec.structs.replace(
            plan.layout, headroom=8, centre=(np.float64(1.5), 2), half_width=(1, 2)
        ),
    )
    manifest = new_manifest(
        name="m",
        version="1",
        release=1,
        plan=whole,
        parity=parity,
        owner=OWNER.fingerprint,
        payload_digest="sha256:" + "0" * 64,
        payload_bytes=0,
    )
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_two_packages_of_one_plan_differ(plan: Plan, parity: Parity) -> None:
    first, second = (
        Package.create(name="m", plan=plan, payload={}, parity=parity, owner=OWNER)
        for _ in range(2)
    )
    assert first.digest != second.digest


def _change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(fields: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            fields = fields[parent]
        fields[last] = value

    return apply


FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "unknown_field": _change("extra", 1),
    "unknown_field_in_plan": _change("plan.extra", 1),
    "missing_field": lambda fields: fields.pop("parity"),
    "wrong_type": _change("release", "1"),
    "release_zero": _change("release", 0),
    "format_version_zero": _change("format_version", 0),
    "format_version_one": _change("format_version", 1),
    "owner_missing": lambda fields: fields.pop("owner"),
    "owner_of_another_kind": _change("owner", "sha256:" + "0" * 64),
    "name_with_slash": _change("name", "../x"),
    "name_with_newline": _change("name", "x\n"),
    "created_in_local_time": _change("created", "2026-11-22T12:43:00+01:00"),
    "created_on_no_day": _change("created", "2026-02-30T12:43:00Z"),
    "created_unpadded": _change("created", "2026-2-3T12:43:00Z"),
    "plan_changed_after_digest": _change("plan.parameters", "weak"),
    "guarantee_changed_after_digest": _change("plan.guarantee.sanitising_bits", 0),
    "other_protection": _change("protection", "mpc"),
    "digest_of_another_kind": _change("payload_digest", "md5:00"),
    "digest_in_capitals": _change("payload_digest", "sha256:" + "A" * 64),
    "negative_payload": _change("payload_bytes", -1),
    "agreement_above_one": _change("parity.agreement", 1.5),
    "no_rows_compared": _change("parity.rows", 0),
    "huge_integer": _change("payload_bytes", 10**400),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_manifest_is_refused(package: Package, fault: str) -> None:
    fields = msgspec.to_builtins(package.manifest)
    FAULTS[fault](fields)
    with pytest.raises(PackageError) as caught:
        decode_manifest(json.dumps(fields, sort_keys=True, separators=(",", ":")).encode())
    assert caught.value.code == "SR-PACKAGE-FILE"
    assert "\n" not in str(caught.value)


def _canonical(package: Package) -> bytes:
    return encode_manifest(package.manifest)


REWRITINGS: dict[str, Callable[[bytes], bytes]] = {
    "white_space": lambda data: data + b"\n",
    "leading_space": lambda data: b" " + data,
    "byte_order_mark": lambda data: b"\xef\xbb\xbf" + data,
    "indented": lambda data: json.dumps(json.loads(data), sort_keys=True, indent=1).encode(),
    "unsorted": lambda data: json.dumps(
        dict(reversed(json.loads(data).items())), separators=(",", ":"), ensure_ascii=False
    ).encode(),
    "key_twice": lambda data: data.replace(b'"release":1', b'"release":2,"release":1'),
    "escaped_letter": lambda data: data.replace(b'"name":"b', b'"name":"\\u0062'),
    "float_in_long_form": lambda data: data.replace(b"40.5,", b"40.50,"),
    "float_as_integer": lambda data: data.replace(b'"headroom":8.0', b'"headroom":8'),
    "truncated": lambda data: data[:-1],
    "two_documents": lambda data: data + data,
    "not_utf8": lambda data: data.replace(b"gr\xc3\xb6", b"gr\xff\xfe"),
    "nan": lambda data: data.replace(b"40.5,", b"NaN,"),
    "out_of_range": lambda data: data.replace(b"40.5,", b"1e999,"),
    "deeply_nested": lambda data: b'{"plan":' + b"[" * 100_000,
    "empty": lambda data: b"",
    "oversize": lambda data: data + b" " * MAXIMUM_MANIFEST_BYTES,
}


@pytest.mark.parametrize("rewriting", REWRITINGS)
def test_bytes_that_are_not_canonical_are_refused(package: Package, rewriting: str) -> None:
    data = _canonical(package)
    rewritten = REWRITINGS[rewriting](data)
    assert rewritten != data
    with pytest.raises(PackageError) as caught:
        decode_manifest(rewritten)
    assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_newer_manifest_names_both_versions(package: Package) -> None:
    fields = msgspec.to_builtins(package.manifest)
    data = canonical_json({**fields, "format_version": 7, "from_the_future": True})
    with pytest.raises(PackageError, match=r"format version 7.*reads up to 2") as caught:
        decode_manifest(data)
    assert caught.value.code == "SR-PACKAGE-VERSION"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", "ü", "x" * 101, "a\n"])
def test_a_name_that_does_not_fit_a_url_is_refused(name: str, plan: Plan, parity: Parity) -> None:
    with pytest.raises(PackageError) as caught:
        Package.create(name=name, plan=plan, payload={}, parity=parity, owner=OWNER)
    assert caught.value.code == "SR-PACKAGE-NAME"


def test_a_plan_with_nan_can_not_be_packed(plan: Plan, parity: Parity) -> None:
    broken = msgspec.structs.replace(
        plan, layout=msgspec.structs.replace(plan.layout, centre=(math.nan, 0.0))
    )
    with pytest.raises(PackageError) as caught:
        Package.create(name="m", plan=broken, payload={}, parity=parity, owner=OWNER)
    assert caught.value.code == "SR-PLAN-INVALID"


def test_a_manifest_can_not_be_changed(package: Package) -> None:
    with pytest.raises(AttributeError):
        package.manifest.name = "other"  # type: ignore[misc]
    assert isinstance(package.manifest, Manifest)
