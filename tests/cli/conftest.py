"""A plan and a package as the commands see them; nothing here is encrypted."""

from __future__ import annotations

import pytest

from strongroom.compiler.plan import Costs, Guarantee, LinearLayout, Plan, Prediction
from strongroom.models.features import Features
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.package.file import Package
from strongroom.package.manifest import Parity


@pytest.fixture
def plan() -> Plan:
    """Of a binary classifier with the columns "age" and "weight"."""
    return Plan(
        protection="fhe",
        parameters="linear-test",
        layout=LinearLayout(
            columns=2,
            outputs=1,
            column_chunks=1,
            outputs_per_ciphertext=1,
            rows_per_ciphertext=2048,
            blocks_per_request=1,
            centre=(50.0, 70.0),
            half_width=(64.0, 64.0),
            headroom=8.0,
            input_limbs=2,
            sanitise_limbs=2,
            response_limbs=1,
            log_input_scale=30,
            log_weight_scale=20,
            flooding_log_sigma=35.0,
            decryption_log_sigma=10.0,
            log_output_step=-14,
        ),
        prediction=Prediction(
            input=InputSpec(columns=2, names=("age", "weight"), dtype="float64"),
            features=Features.plain(2),
            output=OutputSpec(
                task="classification",
                link="logistic",
                outputs=1,
                classes=("ill", "well"),
                label_dtype="<U4",
                flat=True,
                methods=("predict", "predict_proba", "decision_function"),
            ),
        ),
        guarantee=Guarantee(
            protection="fhe",
            weights_from_server="visible",
            inputs_from_server="hidden",
            outputs_from_server="hidden",
            weights_from_client="hidden",
            structure_visible=("number of columns", "ranges of the sample"),
            assumptions=("ring learning with errors is hard",),
            security="classical-128",
            ring_degree=4096,
            log_modulus=103.0,
            sanitising_bits=30,
            query_budget=1 << 20,
            log_distance_after_budget=-10.0,
            decryption_bits=30,
            decryption_queries=65_536,
            queries_to_extract=3,
            training_data="answers may tell whether a row was in it",
        ),
        costs=Costs(
            server_milliseconds=0.8,
            client_milliseconds=2.5,
            server_peak_bytes=2 << 20,
            model_bytes=300_000,
            secret_key_bytes=1024,
            public_key_bytes=26_000,
            evaluation_key_bytes=0,
            mapped_key_bytes=0,
            request_bytes=38_000,
            response_bytes=20_480,
            rows_per_request=2048,
            full_request_bytes=38_000,
            full_response_bytes=20_480,
            score_error=2e-5,
            precision_bits=14.2,
        ),
    )


@pytest.fixture
def package(plan: Plan) -> Package:
    """Around that plan."""
    return Package.create(
        name="patients",
        plan=plan,
        payload={"model": b"weights"},
        parity=Parity(rows=100, agreement=1.0, max_score_error=1e-5),
    )
