"""Whatever goes wrong: one line on standard error, a code, and an exit status of its kind."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.cli import app
from strongroom.errors import (
    InputError,
    InputRangeWarning,
    KeyStoreError,
    ModelError,
    ServerError,
)
from strongroom.server.tokens import create_token

CANARY = "canary-4711"


@pytest.fixture
def planning_raises(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[BaseException], list[str]]:
    """Makes `strongroom plan` end in an exception; gives the command line that does."""
    rows = tmp_path / "rows.csv"
    rows.write_text("a\n1\n")

    def install(failure: BaseException) -> list[str]:
        def fail(*_: object, **__: object) -> None:
            raise failure

        monkeypatch.setattr("strongroom.cli.plan.candidates", fail)
        return ["plan", "model.onnx", "--sample", str(rows)]

    return install


def test_own_error_ends_in_its_line_and_status(
    planning_raises: Callable[[BaseException], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    failure = ModelError("SR-MODEL-UNSUPPORTED", "operator Conv", "Choose a linear model")
    assert app.run(planning_raises(failure)) == ModelError.exit_status
    seen = capsys.readouterr()
    assert seen.err == "error: [SR-MODEL-UNSUPPORTED] operator Conv. Choose a linear model.\n"
    assert seen.out == ""


def test_own_error_as_json(
    planning_raises: Callable[[BaseException], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    command = planning_raises(ModelError("SR-MODEL-UNSUPPORTED", "operator Conv"))
    assert app.run([*command, "--json"]) == ModelError.exit_status
    assert json.loads(capsys.readouterr().out) == {
        "error": "operator Conv.",
        "code": "SR-MODEL-UNSUPPORTED",
    }


def test_unexpected_fault_shows_its_type_only(
    planning_raises: Callable[[BaseException], list[str]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = planning_raises(ZeroDivisionError(CANARY))
    monkeypatch.delenv("STRONGROOM_DEBUG", raising=False)
    assert app.run(command) == 1
    line = capsys.readouterr().err
    assert line.startswith("error: [SR-INTERNAL] ")
    assert "ZeroDivisionError" in line
    assert CANARY not in line
    assert line.count("\n") == 1
    monkeypatch.setenv("STRONGROOM_DEBUG", "1")
    assert app.run(command) == 1
    assert "Traceback" in capsys.readouterr().err


OPTIONS = [
    (["--lambda", "99"], "[SR-POLICY-VALUE] --lambda is 99."),
    (["--precision-bits", "0"], "[SR-POLICY-VALUE] --precision-bits is 0."),
    (["--minimum-agreement", "2"], "[SR-POLICY-VALUE] --minimum-agreement is 2.0."),
]


@pytest.mark.parametrize(("arguments", "said"), OPTIONS)
def test_values_of_a_policy_are_refused_by_their_options(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["plan", "model.onnx", "--sample", "rows.csv", *arguments]) == 5
    assert said in capsys.readouterr().err


CONFIGURATIONS = [
    (["--host", "0.0.0.0"], "Set --tls-cert and --tls-key, or bind to 127.0.0.1."),
    (["--tls-cert", "c.pem"], "only one of --tls-cert and --tls-key is set."),
    (["--workers", "0"], "] --workers is 0."),
    (["--port", "99999"], "] --port is 99999."),
    (["--threads", "0"], "] --threads is 0."),
    (["--evaluation-timeout-seconds", "0"], "] --evaluation-timeout-seconds is 0"),
    (["--worker-memory-mib", "1"], "] --worker-memory-mib is 1. Choose a value from 16 to "),
    (["--key-mib-per-tenant", "0"], "] --key-mib-per-tenant is 0. Choose a value from 1 to "),
    (["--member-timeout-seconds", "0"], "] --member-timeout-seconds is 0.0. Choose a value from "),
    (["--broker", "http://127.0.0.1:1"], "and there is no --attestation. Pass --attestation tsm"),
]


@pytest.mark.parametrize(("arguments", "said"), CONFIGURATIONS)
def test_a_servers_configuration_is_refused_by_its_options(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Neither of them concerns the process that runs the tests.
    monkeypatch.setattr("strongroom.server.serve.limit_process", lambda: None)
    monkeypatch.setattr("strongroom.server.serve.hide_memory", lambda: None)
    tokens = tmp_path / "tokens.json"
    create_token(tokens, "clinic")
    command = ["serve", "m.strongroom", "--tokens", str(tokens), "--port", "0"]
    assert app.run([*command, *arguments]) == ServerError.exit_status
    assert said in capsys.readouterr().err


def test_names_in_a_path_and_in_other_errors_stay_as_they_are(
    planning_raises: Callable[[BaseException], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    for failure, said in (
        (
            ServerError("SR-SERVER-CONFIG", "the file /srv/tls_key.pem and 'tls_key' are one"),
            "the file /srv/tls_key.pem and 'tls_key' are one.",
        ),
        (
            InputError("SR-INPUT-COLUMNS", "there is no column tls_key"),
            "there is no column tls_key.",
        ),
        (
            KeyStoreError("SR-KEYS-LOCKED", "it is locked", "Set X, or pass passphrase="),
            "Set X, or run the command on a terminal, where it asks.",
        ),
    ):
        app.run(planning_raises(failure))
        assert said in capsys.readouterr().err


def test_interrupt_ends_with_130(
    planning_raises: Callable[[BaseException], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(planning_raises(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan"],
        ["plan", "model.onnx", "--sample"],
        ["plan", "model.onnx", "--sample", "rows.csv", "--lambda", "many"],
        ["plan", "model.onnx", "--sample", "rows.csv", "--security", "weak"],
        ["plan", "model.json", "--sample", "rows.csv", "--objective", "beauty"],
        ["plan", "model.json", "--sample", "rows.csv", "--grid", "model", "--decoys", "2"],
        ["protect", "m.json", "--sample", "s.csv", "-o", "m.strongroom", "--label-column", "y"],
        ["nonsense"],
        ["keys", "nonsense"],
    ],
)
def test_wrong_command_line_ends_with_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: [SR-USAGE] ")
    assert line.count("\n") == 1


def test_warning_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        from strongroom.cli.failures import plain_warnings

        plain_warnings()
        warnings.warn("3 rows lie\noutside the sample's range", InputRangeWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: 3 rows lie outside the sample's range\n"


def test_version_and_help_are_no_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("strongroom ")
    assert app.run(["--help"]) == 0
    shown = capsys.readouterr().out
    commands = ("plan", "protect", "inspect", "explain", "serve", "predict", "keys", "demo")
    assert all(command in shown for command in commands)


@pytest.mark.parametrize("command", [[], ["keys"], ["keys", "token"]])
def test_a_command_line_that_is_not_finished_shows_help_and_no_empty_error(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(command) == 2
    seen = capsys.readouterr()
    assert "Usage: strongroom" in seen.out + seen.err
    assert "SR-USAGE" not in seen.out + seen.err


def test_closed_output_is_no_traceback() -> None:
    process = subprocess.run(
        f"{sys.executable} -m strongroom.cli --help | true",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in process.stderr


def test_a_full_disk_behind_standard_output_is_named() -> None:
    for options in ([], ["--json"]):
        with Path("/dev/full").open("w") as full:
            process = subprocess.run(
                [sys.executable, "-m", "strongroom.cli", "plan", "nothing.onnx", *options],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        # Whether it is the error's own object that has no room, or what the command prints.
        assert process.returncode == 2
        assert process.stderr.startswith("error: [SR-USAGE] ")
        assert process.stderr.count("\n") == 1
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "strongroom.cli", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 3
    assert process.stderr == (
        "error: [SR-INPUT-FILE] standard output or a temporary file can't be written: "
        "No space left on device. Make room, or write elsewhere.\n"
    )


def test_a_wrong_command_line_names_the_help_of_its_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.run(["keys", "token", "create"]) == 2
    assert capsys.readouterr().err.endswith(". See `strongroom keys token create --help`.\n")
    assert app.run(["predikt"]) == 2
    assert capsys.readouterr().err.endswith("Did you mean 'predict'? See `strongroom --help`.\n")
