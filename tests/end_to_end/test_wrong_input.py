"""What clumsy users do: each mistake ends in one line with a stable code, nothing is sent, nothing
is left behind, and no text repeats what was in a cell."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_owner import OWNER
from recorded_traffic import RecordingTransport
from server_processes import RunningServer, run_server, snapshot, write_server
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from trained_models import Trained, trained

import strongroom
from strongroom import Client, InputRangeWarning, KeyStore, Package, StrongroomError
from strongroom.package.manifest import FORMAT_VERSION

Serve = Callable[..., RunningServer]
Connect = Callable[..., Client]
Rows = Any

CELL = 48151.62342  # digits that nothing else would print
CELL_TEXTS = ("48151", "62342", "4.8151", "4815")


@pytest.fixture(scope="module")
def server(serve: Serve, binary: Trained) -> RunningServer:
    return serve([binary.package, trained("named-classes").package, trained("margins").package])


def with_cell(rows: Rows, value: Any) -> Rows:
    """Some rows in which one cell is replaced; the cells around it are recognisable."""
    table = np.array(rows[:3], dtype=object if isinstance(value, str | None) else np.float64)
    table[1, 4] = value
    return table


def frame(rows: Rows, value: Any, dtype: str = "float64") -> pd.DataFrame:
    table = pd.DataFrame(rows[:3]).astype({4: dtype})
    table.loc[1, 4] = value
    return table


WRONG_ROWS: dict[str, tuple[Callable[[Rows], Rows], str, str]] = {
    "a column too few": (lambda X: X[:, :-1], "SR-INPUT-COLUMNS", "29 columns, .* takes 30"),
    "a column too many": (
        lambda X: np.hstack([X, X[:, :1]]),
        "SR-INPUT-COLUMNS",
        "31 columns, .* takes 30",
    ),
    "NaN": (lambda X: with_cell(X, np.nan), "SR-INPUT-MISSING", "row 1, column 4 is missing"),
    "None": (lambda X: with_cell(X, None), "SR-INPUT-MISSING", "row 1, column 4 is missing"),
    "NaN in a frame": (
        lambda X: frame(X, np.nan),
        "SR-INPUT-MISSING",
        "row 1, column 4 is missing",
    ),
    "text": (lambda X: with_cell(X, f"x{CELL}"), "SR-INPUT-TYPE", "row 1, column 4"),
    "a number as text": (lambda X: with_cell(X, str(CELL)), "SR-INPUT-TYPE", "row 1, column 4"),
    "text in a frame": (
        lambda X: frame(X, f"{CELL} mg", "object"),
        "SR-INPUT-TYPE",
        "row 1, column 4",
    ),
    "text in a list": (
        lambda X: [[f"{CELL}?"] * 30],
        "SR-INPUT-TYPE",
        "row 0, column 0",
    ),
    "a complex number": (
        lambda X: with_cell(X, 0.0) + 1j * CELL,
        "SR-INPUT-TYPE",
        "complex numbers",
    ),
    "infinity": (lambda X: with_cell(X, np.inf), "SR-INPUT-INFINITE", "row 1, column 4"),
    "minus infinity": (lambda X: with_cell(X, -np.inf), "SR-INPUT-INFINITE", "row 1, column 4"),
    "far beyond the headroom": (
        lambda X: with_cell(X, CELL * 1e9),
        "SR-INPUT-RANGE",
        "row 1, column 4",
    ),
    "the largest double": (
        lambda X: with_cell(X, -np.finfo(float).max),
        "SR-INPUT-RANGE",
        "row 1, column 4",
    ),
    "one dimension": (lambda X: X[0], "SR-INPUT-SHAPE", r"X\.reshape\(1, -1\)"),
    "three dimensions": (lambda X: X[None], "SR-INPUT-SHAPE", "3 dimensions"),
    "a number": (lambda X: CELL, "SR-INPUT-SHAPE", "0 dimensions"),
    "no rows": (lambda X: X[:0], "SR-INPUT-SHAPE", "there are no rows"),
    "an empty list": (lambda X: [], "SR-INPUT-SHAPE", "1 dimensions"),
    "a frame without rows": (lambda X: pd.DataFrame(X[:0]), "SR-INPUT-SHAPE", "no rows"),
    "rows of unequal length": (
        lambda X: [[CELL] * 30, [CELL] * 29],
        "SR-INPUT-SHAPE",
        "row 1 has 29 values, row 0 has 30",
    ),
    "nothing": (lambda X: None, "SR-INPUT-SHAPE", "NoneType, not a table"),
    "text instead of a table": (lambda X: f"{CELL}", "SR-INPUT-SHAPE", "str, not a table"),
}


def refused(act: Callable[[], object], code: str, says: str) -> str:
    """The one line of a refusal."""
    with pytest.raises(StrongroomError, match=says) as caught:
        act()
    assert caught.value.code == code
    line = str(caught.value)
    assert line.startswith(f"[{code}] ")
    assert "\n" not in line
    # A user who looks at the whole traceback must not find the value there either.
    errors, error = [line], caught.value.__cause__ or caught.value.__context__
    while error is not None:
        errors.append(repr(error))
        error = error.__cause__ or error.__context__
    assert not any(text in " ".join(errors) for text in CELL_TEXTS), "it quotes a cell"
    return line


@pytest.mark.parametrize("mistake", WRONG_ROWS)
def test_wrong_rows_never_leave(
    server: RunningServer, connect: Connect, binary: Trained, mistake: str
) -> None:
    change, code, says = WRONG_ROWS[mistake]
    transport = RecordingTransport()
    client = connect(server, binary.package, transport=transport)
    before = snapshot(server.folder)
    logged = len(server.log())
    for ask in (client.predict, client.predict_proba, client.decision_function):
        refused(partial(ask, change(binary.held_out)), code, says)
    assert transport.inferences == 0
    assert len(server.log()) == logged
    assert snapshot(server.folder) == before
    # Nothing is broken by it.
    expected = binary.model.predict(binary.held_out[:2])
    np.testing.assert_array_equal(client.predict(binary.held_out[:2]), expected)


def test_a_wrong_row_in_a_later_request_is_found_before_any_is_sent(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    transport = RecordingTransport()
    client = connect(server, binary.package, transport=transport)
    rows = np.tile(binary.held_out, (100, 1))
    rows[-1, 4] = np.nan
    assert len(rows) > client.plan.costs.rows_per_request
    last = f"row {len(rows) - 1}, column 4 is missing"
    refused(lambda: client.predict(rows), "SR-INPUT-MISSING", last)
    assert transport.inferences == 0


def test_columns_by_another_name_or_in_another_order_are_refused(
    server: RunningServer, connect: Connect
) -> None:
    named = trained("named-classes")
    transport = RecordingTransport()
    client = connect(server, named.package, transport=transport)
    rows = named.held_out
    code = "SR-INPUT-COLUMNS"
    swapped = rows[rows.columns[::-1]]
    refused(lambda: client.predict(swapped), code, "another order")
    renamed = rows.rename(columns={"ash": "ashes"})
    refused(lambda: client.predict(renamed), code, "lack 'ash' and have 'ashes'")
    refused(lambda: client.predict(rows.drop(columns="ash")), code, "lack 'ash'")
    assert transport.inferences == 0


def test_rows_outside_the_sample_are_warned_of_and_answered(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    client = connect(server, binary.package)
    layout = binary.package.manifest.plan.layout
    rows = binary.held_out[:4].copy()
    rows[2, 4] = layout.centre[4] + 3 * layout.half_width[4]
    with pytest.warns(InputRangeWarning, match=r"1 of 4 rows .* row 2, column 4") as caught:
        scores = client.decision_function(rows)
    assert len(caught) == 1
    assert f"{rows[2, 4]:g}"[:5] not in str(caught[0].message)
    assert np.abs(scores - binary.model.decision_function(rows)).max() <= binary.score_error


def test_a_method_that_the_plain_model_lacks_is_refused(
    server: RunningServer, connect: Connect
) -> None:
    margins = trained("margins")
    transport = RecordingTransport()
    client = connect(server, margins.package, transport=transport)
    refused(lambda: client.predict_proba(margins.held_out), "SR-MODEL-METHOD", "no predict_proba")
    assert transport.inferences == 0


def test_a_model_that_is_not_there(
    server: RunningServer, connect: Connect, binary: Trained, home: Path
) -> None:
    def ask() -> object:
        return connect(
            server, binary.package, model="prognosis", keys=KeyStore.open(passphrase="x")
        )

    refused(ask, "SR-SERVER-MODEL", "no model 'prognosis'")
    assert os.listdir(home) == ["identities"]


WRONG_TOKENS: dict[str, Callable[[str], str | None]] = {
    "none": lambda token: None,
    "another": lambda token: "sr_" + "A" * 43,
    "one letter off": lambda token: token[:-1] + ("A" if token[-1] != "A" else "B"),
    "the first half": lambda token: token[:20],
    "in lower case": lambda token: token.lower(),
}


@pytest.mark.parametrize("wrong", WRONG_TOKENS)
def test_a_wrong_token(
    server: RunningServer, connect: Connect, binary: Trained, home: Path, wrong: str
) -> None:
    token = WRONG_TOKENS[wrong](server.token)

    def ask() -> object:
        return connect(
            server,
            binary.package,
            token=token,
            trust="first-use",
            keys=KeyStore.open(passphrase="x"),
        )

    line = refused(ask, "SR-SERVER-TOKEN", "missing, unknown or revoked")
    for secret in (server.token, token):
        assert secret is None or secret not in line + server.log()
    assert os.listdir(home) == ["identities"], (
        "no key is made and nothing pinned for a server that refuses"
    )


def test_a_token_with_white_space_is_refused_before_it_is_sent(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    transport = RecordingTransport()
    for token in (server.token + "\n", f'"{server.token} "', ""):

        def ask(token: str = token) -> object:
            return connect(server, binary.package, token=token, transport=transport)

        line = refused(ask, "SR-SERVER-TOKEN", "white space or characters")
        assert server.token not in line
    assert transport.asked == []


def test_another_package_than_the_trusted_one(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    transport = RecordingTransport()
    trust = "sha256:" + "0" * 64

    def ask() -> object:
        return connect(server, binary.package, trust=trust, transport=transport)

    refused(ask, "SR-PACKAGE-DIGEST", f"is package {binary.package.digest}, trusted is {trust}")
    assert transport.inferences == 0


def test_a_model_that_is_replaced_while_a_client_is_open_answers_it_no_more(
    serve: Serve, connect: Connect, binary: Trained
) -> None:
    # Other weights under the very same plan, so that nothing inside the protected request differs.
    manifest = binary.package.manifest
    weights = bytes(binary.package.payload["model"])
    header = len(weights) - 8 * 31
    numbers = np.frombuffer(weights, "<f8", offset=header)
    replaced = Package.create(
        name=manifest.name,
        plan=manifest.plan,
        payload={"model": weights[:header] + (-numbers).tobytes()},
        parity=manifest.parity,
    )
    server = serve([binary.package])
    transport = RecordingTransport()
    client = connect(server, binary.package, transport=transport)
    client.predict(binary.held_out[:1])
    server.kill()
    replaced.save(server.config["packages"][0], owner=OWNER, overwrite=True)
    server.start_again()
    asked = transport.inferences
    refused(lambda: client.predict(binary.held_out), "SR-PACKAGE-DIGEST", "another package")
    # The connection that the kill broke may cost one attempt; the refusal is not repeated.
    assert transport.inferences - asked <= 2
    scores = connect(server, replaced).decision_function(binary.held_out)
    assert np.abs(scores + binary.model.decision_function(binary.held_out)).max() <= (
        binary.score_error
    )


UNSUPPORTED: dict[str, tuple[Any, str]] = {
    "neighbours": (KNeighborsClassifier(), "KNeighborsClassifier"),
    "an imputer by neighbours": (
        make_pipeline(KNNImputer(), StandardScaler(), LogisticRegression()),
        "KNNImputer",
    ),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_a_model_that_can_not_be_protected_is_named(binary: Trained, kind: str) -> None:
    model, name = UNSUPPORTED[kind]
    X = binary.sample[:60, :4]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how well it is fitted does not matter
        model.fit(X, binary.model.predict(binary.sample[:60]))
    refused(lambda: strongroom.protect(model, sample=X), "SR-MODEL-UNSUPPORTED", name)
    refused(lambda: strongroom.plan(model, sample=X), "SR-MODEL-UNSUPPORTED", name)


def test_a_model_that_was_never_fitted(binary: Trained) -> None:
    model = LogisticRegression()
    refused(lambda: strongroom.protect(model, sample=binary.sample), "SR-MODEL-UNFITTED", "fitted")


@pytest.mark.parametrize("mistake", ["NaN", "text", "infinity", "a column too few", "no rows"])
def test_a_wrong_sample_protects_nothing(binary: Trained, mistake: str) -> None:
    change, code, says = WRONG_ROWS[mistake]
    refused(lambda: strongroom.protect(binary.model, sample=change(binary.sample)), code, says)


def test_a_package_of_a_newer_version_is_not_opened(binary: Trained, tmp_path: Path) -> None:
    path = tmp_path / "newer.strongroom"
    binary.package.save(path, owner=OWNER)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 8, FORMAT_VERSION + 1)
    path.write_bytes(data)
    says = f"format version {FORMAT_VERSION + 1}, this Strongroom reads up to {FORMAT_VERSION}"
    refused(lambda: strongroom.load(path), "SR-PACKAGE-VERSION", says)
    # The server says the same when it is started with it, and does not start.
    folder = tmp_path / "server"
    folder.mkdir()
    configuration, environment = write_server(folder, [])
    configuration["packages"] = [str(path)]
    process = run_server(folder, configuration, environment)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (6, "")
    (line,) = (folder / "server.log").read_text().splitlines()
    assert line.startswith("[SR-PACKAGE-VERSION] ")
