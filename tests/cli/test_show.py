"""Tables as people see them."""

from __future__ import annotations

import pytest

from strongroom.cli import show

FINGERPRINT = "identity:" + "0123456789abcdef" * 4
DIGEST = "sha256:" + "fedcba9876543210" * 4


@pytest.mark.parametrize(
    "rows",
    [
        [("owner", FINGERPRINT, "serve", "2027-02-21T04:19:14Z, ended")],
        [
            ("owner, who signed it", f"a-name {FINGERPRINT}"),
            ("agreement with the plain model", "-"),
        ],
        [
            (
                "authority",
                "pass",
                f"{FINGERPRINT} signed release 1 of the package, {DIGEST}, at last",
            )
        ],
    ],
)
@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_what_people_copy_is_never_cut_in_two(
    rows: list[tuple[str, ...]],
    columns: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    show.print_table("A title", ["name"] * len(rows[0]), rows)
    shown = capsys.readouterr().out
    for copied in (FINGERPRINT, DIGEST):
        assert (copied in shown) is any(copied in cell for row in rows for cell in row)


def test_a_table_of_other_things_keeps_to_its_width(capsys: pytest.CaptureFixture[str]) -> None:
    show.print_table("A title", ("", ""), [("what", "word " * 100)])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100
