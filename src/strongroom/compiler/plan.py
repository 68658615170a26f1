"""Plan: an immutable decision of how a graph will run under a protection.

Data, not code: it is serialised as JSON, compared, signed with the package, and re-checked by
every client. Nothing here computes; `compiler.linear`, `compiler.network` and
`protections.sealed` decide, `protections` run.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from strongroom.canonical import Digest
from strongroom.compiler.holding import KeyHolding
from strongroom.errors import ModelError
from strongroom.models.features import Features
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.privacy.membership import MembershipRisk

Count = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**60)]


class LinearLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="linear"):
    """A linear model by coefficients (docs/reference/protocol.md).

    A row of d columns is encoded as z = (x - centre) / half_width, so that the sample lies in
    [-1, 1], and put into d coefficients; one product with a polynomial of reversed weights puts
    all of its inner products into `outputs_per_ciphertext` coefficients.

    Attributes:
        columns: number of features of the model.
        outputs: number of score columns.
        column_chunks: into how many ciphertexts a row is cut (1 unless it exceeds the ring).
        outputs_per_ciphertext: how many scores of a row one result holds.
        rows_per_ciphertext: how many rows one ciphertext holds.
        blocks_per_request: how many times that a request holds, at most.
        centre, half_width: the public preprocessing, one value a column; half widths are powers
            of two.
        headroom: largest |z| for which no score can overflow.
        input_limbs: number of primes of a request's ciphertexts.
        sanitise_limbs: number of primes when the result is re-randomised and flooded; also that
            of the public key that travels with a request.
        response_limbs: number of primes of a response.
        log_input_scale, log_weight_scale: base-2 logarithms; the product is the scale of scores.
        flooding_log_sigma: base-2 logarithm of the server's flooding, at `sanitise_limbs`.
        decryption_log_sigma: the same of the client's, at `response_limbs`.
        log_output_step: decrypted scores are rounded to multiples of 2^this.
    """

    columns: Count
    outputs: Count
    column_chunks: Count
    outputs_per_ciphertext: Count
    rows_per_ciphertext: Count
    blocks_per_request: Count
    centre: tuple[float, ...]
    half_width: tuple[float, ...]
    headroom: float
    input_limbs: Count
    sanitise_limbs: Count
    response_limbs: Count
    log_input_scale: int
    log_weight_scale: int
    flooding_log_sigma: float
    decryption_log_sigma: float
    log_output_step: int

    @property
    def hidden(self) -> bool:
        """The server holds the weights in the clear."""
        return False


class HiddenLinearLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="hidden"):
    """A linear model by coefficients whose weights are ciphertexts (docs/reference/protocol.md).

    Rows are encoded as for `LinearLayout`, and get one more column that is always `headroom`; the
    bias, divided by it, is that column's weight. So everything that is secret of the model lies in
    the polynomials of reversed weights, and one product of ciphertexts makes all scores.

    Attributes:
        columns, outputs, centre, half_width, headroom, blocks_per_request: see `LinearLayout`.
        column_chunks, outputs_per_ciphertext, rows_per_ciphertext: the same, with the column more.
        holding: how the key is held that weights are encrypted under.
        input_limbs: number of primes of rows and weights.
        response_limbs: number of primes of a result.
        log_bound: no score of an input within the headroom reaches 2^this. What is encrypted are
            weights divided by it.
        log_input_scale, log_weight_scale: base-2 logarithms of the scales of rows and of these.
        decryption_log_sigma: base-2 logarithm of the flooding that whoever decrypts adds, at
            `response_limbs`: an owner, or each member of a committee to its share.
        log_output_step: decrypted scores are rounded to multiples of 2^this.
    """

    columns: Count
    outputs: Count
    column_chunks: Count
    outputs_per_ciphertext: Count
    rows_per_ciphertext: Count
    blocks_per_request: Count
    centre: tuple[float, ...]
    half_width: tuple[float, ...]
    headroom: float
    holding: KeyHolding
    input_limbs: Count
    response_limbs: Count
    log_bound: Annotated[int, msgspec.Meta(ge=-1000, le=1000)]
    log_input_scale: int
    log_weight_scale: int
    decryption_log_sigma: float
    log_output_step: int

    @property
    def hidden(self) -> bool:
        """The server holds the weights as ciphertexts."""
        return True

    @property
    def flooding_log_sigma(self) -> float:
        """The one flood that there is."""
        return self.decryption_log_sigma


class HiddenLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is public of a level of a tower whose coefficients are ciphertexts.

    Attributes:
        terms: numbers of the values that join its square, ascending.
        constant: whether it adds one.
    """

    terms: tuple[Annotated[int, msgspec.Meta(ge=0, le=64)], ...]
    constant: bool


class CircuitLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A circuit behind a product: what a client must know to follow scales and levels.

    Attributes:
        kind: "tower": each level squares the scale and divides it by the primes that it drops;
            "polynomial": the result has the argument's scale.
        drops: primes that each level drops; of a polynomial first those that its argument drops.
        hidden: of a tower with encrypted coefficients, its levels.
    """

    kind: Literal["tower", "polynomial"]
    drops: tuple[Annotated[int, msgspec.Meta(ge=0, le=64)], ...]
    hidden: tuple[HiddenLevel, ...] = ()


class StepLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hidden step of a network (`engine.periodic_products`).

    Attributes:
        blocks, units, inputs: blocks of the map, and units and inputs of each.
        chunks: ciphertexts that the units take.
        span, period, paired, halved: of the product's layout.
        log_weight_scale: base-2 logarithm of the matrix' scale.
        drop: primes that the product is rescaled by.
        circuits: applied one after the other.
        rotations: of a convolution's diagonals, ascending; none where the matrix has all.
    """

    blocks: Count
    units: Count
    inputs: Count
    chunks: Count
    span: Count
    period: Count
    paired: bool
    halved: bool
    log_weight_scale: Annotated[int, msgspec.Meta(ge=0, le=256)]
    drop: Annotated[int, msgspec.Meta(ge=1, le=64)]
    circuits: tuple[CircuitLayout, ...]
    rotations: tuple[Annotated[int, msgspec.Meta(ge=0, lt=2**16)], ...] = ()


class NetworkLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="network"):
    """A network by slots (docs/reference/protocol.md): steps, then weighted sums.

    Attributes:
        features: numbers that are encrypted of a row.
        outputs: number of score columns.
        rows_per_ciphertext: rows that one ciphertext holds, a power of two.
        blocks_per_request: ciphertexts that a request holds, at most.
        centre, half_width: a feature x is encoded as (x - centre) / half_width.
        headroom: those beyond it become it, with a warning.
        clipped: whether that needs no warning, because features are only compared.
        reach: largest Euclidean norm of a row so encoded that is accepted.
        steps: the hidden steps.
        input_limbs: number of primes of a request's ciphertexts.
        log_input_scale: of the features.
        log_sum_scale: of the weights of the final sums.
        sum_limbs: number of primes at which sums are re-randomised and flooded.
        response_limbs: number of primes of a response.
        keys: the evaluation keys that a server needs: element and number of primes of each.
        log_noise: no coefficient of the sums has more noise than 2^this, before flooding, for rows
            whose hidden values stay where circuits were fitted.
        log_bound: scores that reach 2^this are refused by the asker's side: they may have wrapped
            around.
        flooding_log_sigma: base-2 logarithm of the server's flooding, at `sum_limbs`.
        decryption_log_sigma: the same of the client's, at `response_limbs`.
        log_output_step: decrypted scores are rounded to multiples of 2^this.
        kernels: how many numbers a model with convolutions has, whose maps say each of them many
            times over; 0 for a model without.
        holding: how the key is held under which weights, biases and circuits are encrypted; None
            if they are not. Sums of a hidden model are not sanitised, and the two floods are one,
            at `response_limbs`: that of whoever decrypts.
    """

    features: Count
    outputs: Count
    rows_per_ciphertext: Count
    blocks_per_request: Count
    centre: tuple[float, ...]
    half_width: tuple[float, ...]
    headroom: float
    clipped: bool
    reach: float
    steps: tuple[StepLayout, ...]
    input_limbs: Count
    log_input_scale: Annotated[int, msgspec.Meta(ge=1, le=512)]
    log_sum_scale: Annotated[int, msgspec.Meta(ge=-512, le=512)]
    sum_limbs: Count
    response_limbs: Count
    keys: tuple[tuple[int, int], ...]
    log_noise: Annotated[int, msgspec.Meta(ge=0, le=1024)]
    log_bound: Annotated[int, msgspec.Meta(ge=-512, le=512)]
    flooding_log_sigma: float
    decryption_log_sigma: float
    log_output_step: int
    kernels: Annotated[int, msgspec.Meta(ge=0, le=2**40)] = 0
    holding: KeyHolding | None = None

    @property
    def hidden(self) -> bool:
        """Whether the server holds the weights as ciphertexts."""
        return self.holding is not None


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tensor that a sealed model takes or gives.

    Attributes:
        name: as in the ONNX model.
        dtype: its NumPy name, one of `protections.sealed.tensors.DTYPES`.
        shape: None where any size will do.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, le=2**40)] | None, ...],
        msgspec.Meta(max_length=32),
    ]


class SealedLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sealed"):
    """An ONNX model in the clear of the serving process (docs/reference/protocol.md, "Sealed
    exchange").

    Attributes:
        inputs, outputs: of the model. For rows there is one of each: features, shape (None, width),
            and raw scores, shape (None, outputs).
        rows_per_request: rows that a request holds at most; 1 where there are no rows.
        request_content_bytes, response_content_bytes: the most that a message contains, as tensors,
            before it is padded and sealed.
    """

    inputs: Annotated[tuple[TensorSpec, ...], msgspec.Meta(min_length=1, max_length=1024)]
    outputs: Annotated[tuple[TensorSpec, ...], msgspec.Meta(min_length=1, max_length=1024)]
    rows_per_request: Count
    request_content_bytes: Count
    response_content_bytes: Count


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan predicts, for one row unless said otherwise; for networks the server's time is
    that of two threads, and of one ciphertext, whatever rows it holds.

    Bytes are exact, times are estimates on the machine that planned.

    Attributes:
        server_milliseconds, client_milliseconds: engine time, without the network.
        server_peak_bytes: extra memory of a worker while it answers a full request.
        model_bytes: memory of the loaded model on the server.
        secret_key_bytes, public_key_bytes: at rest at the client; inside a request, or once, with
            the evaluation keys, where there are some.
        evaluation_key_bytes: what a client uploads once; 0 for linear models.
        mapped_key_bytes: what these take on the server's disk, and in memory while in use.
        request_bytes, response_bytes: one row.
        rows_per_request: how many rows a request holds at most.
        full_request_bytes, full_response_bytes: those of a full request.
        score_error: bound on |protected - plain| score that holds but for about one row in 10^6.
        precision_bits: bits that the largest score of the sample keeps above that error, of a
            network above the part of it that encryption makes.
    """

    server_milliseconds: float
    client_milliseconds: float
    server_peak_bytes: Bytes
    model_bytes: Bytes
    secret_key_bytes: Bytes
    public_key_bytes: Bytes
    evaluation_key_bytes: Bytes
    mapped_key_bytes: Bytes
    request_bytes: Bytes
    response_bytes: Bytes
    rows_per_request: Count
    full_request_bytes: Bytes
    full_response_bytes: Bytes
    score_error: float
    precision_bits: float


Visibility = Literal["hidden", "visible", "hidden-while-computing", "serving-process"]
"""What the machine that serves can see. hidden-while-computing: nothing, while fewer of those who
hold the key than it takes to decrypt side with it. serving-process: nobody there but the one
process that computes, which sees it in the clear."""

UNSEEN: Final[tuple[Visibility, ...]] = ("hidden", "hidden-while-computing")
"""What the machine that serves can't see by itself."""


class Guarantee(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The guarantee statement: who sees what, under which assumption. For programs and people.

    Attributes:
        protection: its name.
        weights_from_server, inputs_from_server, outputs_from_server: what the machine that
            serves can see.
        weights_from_client: what an asker sees of the weights beyond what the answers say.
        structure_visible: what of the model every client can read in the plan.
        assumptions: under which all of this holds, one sentence each.
        security: the column of the security table, "classical-128".
        ring_degree, log_modulus: of the largest ciphertext or key modulus; 0 without any.
        sanitising_bits: lambda; 0 if weights are not hidden from clients.
        query_budget: number of queries after which ... A query is a row that a ciphertext holds,
            whether or not its request names it.
        log_distance_after_budget: ... the base-2 logarithm of the statistical distance.
        decryption_bits, decryption_queries: sizing of the decryption flooding; 0 without any, as
            are the three before.
        queries_to_extract: about how many answers reveal the model: a linear model is known after
            so many chosen ones, a network or tree ensemble not before. A ciphertext gives one for
            each row that it holds.
        training_data: what the answers may reveal of the training data.
        membership: the same as a measurement, if there is one.
    """

    protection: str
    weights_from_server: Visibility
    inputs_from_server: Visibility
    outputs_from_server: Visibility
    weights_from_client: Visibility
    structure_visible: tuple[str, ...]
    assumptions: tuple[str, ...]
    security: str
    ring_degree: int
    log_modulus: float
    sanitising_bits: int
    query_budget: int
    log_distance_after_budget: float
    decryption_bits: int
    decryption_queries: int
    queries_to_extract: int
    training_data: str
    membership: MembershipRisk | None = None


class Prediction(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How rows become predictions, at the asker's side.

    Attributes:
        input: what rows go in.
        features: the public preprocessing at the asker.
        output: how scores become predictions.
    """

    input: InputSpec
    features: Features
    output: OutputSpec


class OwnerKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="owner"):
    """A hidden model's key is in one hand: that of the owner, who is the only one to ask.

    Attributes:
        key_set: the identifier of the key set, 32 hex digits (`keys.key_sets`).
    """

    key_set: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class CommitteeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="committee"):
    """A hidden model's key is in parts, and a committee's members hold them.

    Attributes:
        committee: digest of the committee's statement.
        public_key: SHA-256 of the serialised public key, 64 hex digits.
        share_budget: how many result ciphertexts the members answer with this key, all of its
            models together; smudging is sized for them.
    """

    committee: Digest
    public_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    share_budget: Count


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How one model runs under one protection.

    Attributes:
        protection: "fhe" or "sealed".
        parameters: identifier in the parameter catalogue; empty where the protection has none.
        layout: the packing and its numbers.
        prediction: how rows become predictions; None for a model of named tensors.
        guarantee: the guarantee statement.
        costs: what it will cost.
        holder: whose key a hidden model is encrypted under; None of others, and of a plan for which
            no key was named yet.
    """

    protection: str
    parameters: str
    layout: LinearLayout | HiddenLinearLayout | NetworkLayout | SealedLayout
    prediction: Prediction | None
    guarantee: Guarantee
    costs: Costs
    holder: OwnerKey | CommitteeKey | None = None

    @property
    def input(self) -> InputSpec:
        """What rows go in. Raises ModelError: SR-MODEL-METHOD if the model takes named tensors."""
        return self._prediction().input

    @property
    def features(self) -> Features:
        """The public preprocessing at the asker. Raises as `input` does."""
        return self._prediction().features

    @property
    def output(self) -> OutputSpec:
        """How scores become predictions. Raises as `input` does."""
        return self._prediction().output

    @property
    def rows_at_once(self) -> int:
        """Rows that share a ciphertext, and are computed in the time of one; 1 without any."""
        layout = self.layout
        return 1 if isinstance(layout, SealedLayout) else layout.rows_per_ciphertext

    def _prediction(self) -> Prediction:
        if self.prediction is None:
            raise ModelError(
                "SR-MODEL-METHOD",
                "the model takes named tensors, not rows",
                "Ask it with Client.infer({name: array})",
            )
        return self.prediction
