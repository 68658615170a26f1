"""committee.json: read whole or refused, and never taken back by damage."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_committees import Members, needs, proposal_of, run_setup

from strongroom.errors import CommitteeError
from strongroom.keys.committee.statement import MAXIMUM_COMMITTEE_BYTES, Committee


@pytest.fixture
def committee(tmp_path: Path) -> Committee:
    return run_setup(
        Members(tmp_path / "members", "a AND b"), proposal_of("a AND b", needs(products=False))
    )


def test_a_file_is_read_back_as_it_was_written(tmp_path: Path, committee: Committee) -> None:
    path = tmp_path / "committee.json"
    for _ in range(2):  # an older file is replaced
        committee.write(path)
        found = Committee.read(path)
        assert (found, found.digest, found.state) == (committee, committee.digest, committee.digest)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b" ",
        lambda data: b"[" * 100_000,
        lambda data: data.replace(b'"refreshes":[]', b'"refreshes":[],"extra":1'),
        lambda data: b" " * (MAXIMUM_COMMITTEE_BYTES + 1),
        lambda data: data.replace(b"http://a.test", b"file:///etc/a"),
    ],
    ids=["empty", "cut", "longer", "deep", "unknown field", "huge", "another address"],
)
def test_what_is_no_committee_is_refused(tmp_path: Path, committee: Committee, damage) -> None:
    path = tmp_path / "committee.json"
    path.write_bytes(damage(committee.to_bytes()))
    with pytest.raises(CommitteeError) as caught:
        Committee.read(path)
    assert caught.value.code == "SR-COMMITTEE-FILE"


def test_a_file_that_is_not_there_or_can_not_be_written_is_an_error_of_its_own(
    tmp_path: Path, committee: Committee
) -> None:
    for action in (
        lambda: Committee.read(tmp_path / "absent.json"),
        lambda: committee.write(tmp_path / "absent" / "committee.json"),
    ):
        with pytest.raises(CommitteeError) as caught:
            action()
        assert caught.value.code == "SR-COMMITTEE-FILE"


def test_every_bit_of_the_statement_is_signed(committee: Committee) -> None:
    data = committee.to_bytes()
    at = data.index(b'"transcript":"sha256:') + len(b'"transcript":"sha256:')
    changed = data[:at] + (b"0" if data[at : at + 1] != b"0" else b"1") + data[at + 1 :]
    with pytest.raises(CommitteeError, match="not signed by its coordinator"):
        Committee.from_bytes(changed)
