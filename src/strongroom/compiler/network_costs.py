"""What a network will cost: exact bytes, and times and memory by the engine's models."""

from __future__ import annotations

from strongroom.compiler.network_levels import NetworkLevels, StepLevels
from strongroom.compiler.network_messages import NetworkSizes, mapped_key_bytes, uploaded_key_bytes
from strongroom.compiler.network_packing import NetworkPacking, StepPacking
from strongroom.compiler.plan import Costs
from strongroom.engine import RELINEARISATION, Parameters, operation_work
from strongroom.engine import operation_memory as memory
from strongroom.engine.circuit_costs import circuit_peak, circuit_work, encoded_bytes
from strongroom.engine.measured_costs import cost_model
from strongroom.engine.operation_work import Work

PLANNED_THREADS = 2
"""That the server's time is predicted for."""

_SECRET_KEY_HEADER_BYTES = 32


def key_elements(
    parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels
) -> tuple[tuple[int, int], ...]:
    """Evaluation keys that a network needs: element and primes, ascending."""
    needed: dict[int, int] = {}

    def need(elements: frozenset[int], limbs: int) -> None:
        for element in elements:
            needed[element] = max(limbs, needed.get(element, 0))

    for step, its_levels in zip(packing.steps, levels.steps, strict=True):
        need(step.layout.elements(parameters), its_levels.limbs)
        if its_levels.circuits:
            need(frozenset({RELINEARISATION}), its_levels.product_limbs)
    return tuple(sorted(needed.items()))


def network_costs(
    parameters: Parameters,
    packing: NetworkPacking,
    levels: NetworkLevels,
    sizes: NetworkSizes,
    score_error: float,
    precision_bits: float,
) -> Costs:
    """All that a plan predicts; times for one ciphertext of rows."""
    keys = key_elements(parameters, packing, levels)
    rows = sizes.blocks_per_request() * packing.vectors
    model = cost_model(parameters.kernel)
    return Costs(
        server_milliseconds=model.milliseconds(
            parameters, server_work(parameters, packing, levels), PLANNED_THREADS
        ),
        client_milliseconds=model.milliseconds(
            parameters, client_work(parameters, packing, levels)
        ),
        server_peak_bytes=peak_bytes(parameters, packing, levels)
        + 2 * (sizes.request(rows) + sizes.response(rows)),
        model_bytes=model_bytes(parameters, packing, levels),
        secret_key_bytes=_SECRET_KEY_HEADER_BYTES + parameters.ring_degree // 4,
        public_key_bytes=uploaded_key_bytes(parameters, (), levels.sum_limbs),
        evaluation_key_bytes=uploaded_key_bytes(parameters, keys, levels.sum_limbs),
        mapped_key_bytes=mapped_key_bytes(parameters, keys),
        request_bytes=sizes.request(1),
        response_bytes=sizes.response(1),
        rows_per_request=rows,
        full_request_bytes=sizes.request(rows),
        full_response_bytes=sizes.response(rows),
        score_error=score_error,
        precision_bits=precision_bits,
    )


def server_work(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> Work:
    """Of a server for one ciphertext of rows."""
    limbs = levels.input_limbs
    work = Work(calls=1, uniform=limbs, transforms=limbs, passes=6 * limbs)
    sources = 1
    for step, its_levels in zip(packing.steps, levels.steps, strict=True):
        work += _step_work(parameters, step, its_levels, sources) * step.chunks
        sources = step.chunks
    limbs = levels.sum_limbs
    group = operation_work.multiply_plain(parameters, limbs) * sources
    # The sum brought to coefficients, and an encryption of zero that joins it.
    group += Work(calls=3, samples=2, transforms=5 * limbs, passes=12 * limbs)
    if levels.response_limbs < limbs:
        group += operation_work.rescale(parameters, limbs, limbs - levels.response_limbs)
    return work + group * packing.sums.groups


def client_work(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> Work:
    """Of a client for one ciphertext of rows."""
    work = operation_work.encode(parameters, levels.input_limbs)
    work += operation_work.encrypt(parameters, levels.input_limbs)
    opened = operation_work.decrypt(levels.response_limbs)
    opened += Work(transforms=3 * levels.response_limbs, passes=4 * levels.response_limbs)
    return work + opened * packing.sums.groups


def model_bytes(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> int:
    """Memory of the encoded model."""
    total, sources = 0, 1
    for step, its_levels in zip(packing.steps, levels.steps, strict=True):
        diagonal = memory.plaintext_bytes(parameters, its_levels.limbs, extended=True)
        bias = memory.plaintext_bytes(parameters, its_levels.product_limbs)
        circuits = sum(encoded_bytes(parameters, circuit) for circuit in its_levels.circuits)
        total += step.chunks * (sources * step.layout.diagonals * diagonal + bias + circuits)
        sources = step.chunks
    sums = memory.plaintext_bytes(parameters, levels.sum_limbs)
    return total + sources * packing.sums.groups * sums


def peak_bytes(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> int:
    """Most that an evaluation holds at once, beside the model, the keys and the messages."""
    peak, sources = 0, 1
    for step, its_levels in zip(packing.steps, levels.steps, strict=True):
        held = memory.ciphertext_bytes(parameters, its_levels.limbs)
        product = memory.transform_peak(
            parameters,
            its_levels.limbs,
            step.layout.step_plan,
            threads=PLANNED_THREADS,
        )
        circuits = [
            circuit_peak(parameters, circuit, threads=PLANNED_THREADS)
            for circuit in its_levels.circuits
        ]
        peak = max(peak, (sources + step.chunks) * held + max(product, *circuits, 0))
        sources = step.chunks
    # What threads keep of released blocks for their next operation.
    return peak + PLANNED_THREADS * memory.KEPT_BYTES


def _step_work(parameters: Parameters, step: StepPacking, levels: StepLevels, sources: int) -> Work:
    """One chunk of a step."""
    layout = step.layout
    diagonals = frozenset(k * layout.blocks for k in range(layout.diagonals))
    product = operation_work.transform(parameters, levels.limbs, layout.step_plan, diagonals)
    limbs = levels.limbs
    product += operation_work.sum_slots(parameters, limbs, layout.terms)
    if layout.halved:
        product += operation_work.rotate(parameters, limbs)
        product += operation_work.multiply_plain(parameters, limbs)
        product += operation_work.linear_combination(parameters, limbs, 2)
    if layout.complex:
        product += operation_work.rotate(parameters, limbs)
        product += operation_work.linear_combination(parameters, limbs, 2)
    work = product * sources
    work += operation_work.linear_combination(parameters, limbs, 2) * (sources - 1)
    work += operation_work.rescale(parameters, limbs, levels.drop)
    work += Work(calls=1, passes=6 * limbs)
    for circuit in levels.circuits:
        work += circuit_work(parameters, circuit)
    return work
