"""What a network will cost: exact bytes, and times and memory by the engine's models."""

from __future__ import annotations

import math

from strongroom.compiler.network_levels import NetworkLevels, StepLevels
from strongroom.compiler.network_messages import NetworkSizes, mapped_key_bytes, uploaded_key_bytes
from strongroom.compiler.network_packing import NetworkPacking, StepPacking
from strongroom.compiler.plan import Costs
from strongroom.engine import RELINEARISATION, Parameters, operation_work
from strongroom.engine import operation_memory as memory
from strongroom.engine.circuit_costs import (
    circuit_peak,
    circuit_work,
    encoded_bytes,
    hidden_tower_work,
)
from strongroom.engine.measured_costs import cost_model
from strongroom.engine.operation_work import Work
from strongroom.engine.slot_functions import SlotFunctionPlan
from strongroom.engine.square_tower_plans import SquareTowerPlan

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
        if levels.hidden:
            need(frozenset({RELINEARISATION}), its_levels.limbs)
        elif its_levels.circuits:
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
    public_limbs = public_key_limbs(levels)
    encoded = model_bytes(parameters, packing, levels)
    mapped = mapped_key_bytes(parameters, keys)
    work = operation_work.fetching(server_work(parameters, packing, levels), encoded + mapped)
    model = cost_model(parameters.kernel)
    return Costs(
        server_milliseconds=model.milliseconds(parameters, work, PLANNED_THREADS)
        + model.milliseconds(parameters, edge_work(parameters, packing, levels)),
        client_milliseconds=model.milliseconds(
            parameters, client_work(parameters, packing, levels)
        ),
        server_peak_bytes=peak_bytes(parameters, packing, levels)
        # A response is there in parts and as a whole.
        + sizes.request(rows)
        + 2 * sizes.response(rows),
        model_bytes=encoded,
        secret_key_bytes=_SECRET_KEY_HEADER_BYTES + parameters.ring_degree // 4,
        public_key_bytes=uploaded_key_bytes(parameters, (), public_limbs),
        evaluation_key_bytes=uploaded_key_bytes(parameters, keys, public_limbs),
        mapped_key_bytes=mapped,
        request_bytes=sizes.request(1),
        response_bytes=sizes.response(1),
        rows_per_request=rows,
        full_request_bytes=sizes.request(rows),
        full_response_bytes=sizes.response(rows),
        score_error=score_error,
        precision_bits=precision_bits,
    )


def server_work(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> Work:
    """Of a server for one ciphertext of rows, where it uses all threads; see `edge_work`."""
    work, sources = Work(), 1
    for step, its_levels in zip(packing.steps, levels.steps, strict=True):
        one = _step_work(parameters, step, its_levels, sources, levels.hidden)
        work += one * step.chunks
        sources = step.chunks
    return work + sum_work(parameters, levels, sources) * packing.sums.groups


def sum_work(parameters: Parameters, levels: NetworkLevels, sources: int) -> Work:
    """Of a group of sums over some ciphertexts."""
    limbs = levels.sum_limbs
    if levels.hidden:
        drop = limbs - levels.response_limbs
        return operation_work.sum_of_products(parameters, limbs, sources, drop)
    return operation_work.multiply_plain(parameters, limbs) * sources


def public_key_limbs(levels: NetworkLevels) -> int:
    """Level of the public key that sums are re-randomised with; 0 if they are not."""
    return 0 if levels.hidden else levels.sum_limbs


def edge_work(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> Work:
    """Of a server for one ciphertext of rows, on one thread: the row is read, biases are added,
    sums are sanitised and written."""
    limbs = levels.input_limbs
    work = Work(calls=1, uniform=limbs, transforms=limbs, passes=6 * limbs)
    for step, its_levels in zip(packing.steps, levels.steps, strict=True):
        if not levels.hidden:
            work += Work(calls=1, passes=9 * its_levels.product_limbs) * step.chunks
    limbs, sources = levels.sum_limbs, packing.steps[-1].chunks
    if levels.hidden:
        # Cut off, then each group's bias joins it as a ciphertext, and it is packed.
        limbs = levels.response_limbs
        work += Work(calls=1, passes=4 * levels.sum_limbs) * sources
        group = Work(calls=2, transforms=2 * limbs, passes=40 * limbs)
        return work + group * packing.sums.groups
    # Copies: what is cut off, the sum of several chunks, the sum that a bias joins.
    work += Work(calls=1, passes=4 * limbs) * sources
    group = Work(calls=1, passes=10 * limbs) * (sources - 1)
    group += Work(calls=1, transforms=2 * limbs, passes=8 * limbs)
    # An encryption of zero joins it: one polynomial into values, two out of them.
    group += Work(calls=2, samples=2, transforms=3 * limbs, passes=14 * limbs)
    # Divided as coefficients, and packed bit by bit.
    group += Work(calls=2, passes=6 * limbs + 20 * levels.response_limbs)
    return work + group * packing.sums.groups


def client_work(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> Work:
    """Of a client for one ciphertext of rows."""
    work = operation_work.encode(parameters, levels.input_limbs)
    work += operation_work.encrypt(parameters, levels.input_limbs)
    opened = operation_work.decrypt(levels.response_limbs)
    opened += Work(transforms=3 * levels.response_limbs, passes=4 * levels.response_limbs)
    return work + opened * packing.sums.groups


def model_bytes(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> int:
    """Memory of the encoded or encrypted model, and of the tables that its ring needs."""
    total, sources = memory.table_bytes(parameters), 1
    hidden = levels.hidden
    for step, its_levels in zip(packing.steps, levels.steps, strict=True):
        bias = weight_bytes(parameters, its_levels.product_limbs, hidden)
        if hidden:
            diagonal = weight_bytes(parameters, its_levels.limbs, hidden)
            diagonals = step.layout.diagonals * diagonal
            circuits = sum(_hidden_bytes(parameters, circuit) for circuit in its_levels.circuits)
        else:
            diagonal = memory.plaintext_bytes(parameters, its_levels.limbs, extended=True)
            diagonals = math.ceil(step.layout.diagonals * diagonal * step.layout.kept_share)
            circuits = sum(encoded_bytes(parameters, circuit) for circuit in its_levels.circuits)
        total += step.chunks * (sources * diagonals + bias + circuits)
        sources = step.chunks
    sums = sources * weight_bytes(parameters, levels.sum_limbs, hidden)
    bias = weight_bytes(parameters, levels.response_limbs, hidden) if hidden else 0
    return total + packing.sums.groups * (sums + bias)


def weight_bytes(parameters: Parameters, limbs: int, hidden: bool) -> int:
    """Memory of a polynomial of weights."""
    if hidden:
        return memory.ciphertext_bytes(parameters, limbs)
    return memory.plaintext_bytes(parameters, limbs)


def _hidden_bytes(parameters: Parameters, circuit: SlotFunctionPlan) -> int:
    """Of a hidden tower's coefficients."""
    if not isinstance(circuit, SquareTowerPlan):
        return 0
    return sum(
        len(circuit.terms(level)) * weight_bytes(parameters, circuit.every_limbs[level - 1], True)
        + circuit.has_constant(level) * weight_bytes(parameters, circuit.every_limbs[level], True)
        for level in range(1, circuit.tower.depth + 1)
    )


def peak_bytes(parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels) -> int:
    """Most that evaluations hold, beside the model, the keys and the messages.

    Blocks that one phase releases have other sizes than the next one's, so each phase has its own,
    which threads and the allocator keep for the next request.
    """
    total, sources = 0, 1
    for step, its_levels in zip(packing.steps, levels.steps, strict=True):
        limbs = its_levels.limbs
        total += (sources + step.chunks) * memory.ciphertext_bytes(parameters, limbs)
        total += memory.transform_peak(
            parameters,
            limbs,
            step.layout.step_plan,
            encrypted=levels.hidden,
            threads=PLANNED_THREADS,
        )
        total += memory.rotate_peak(parameters, limbs, threads=PLANNED_THREADS)
        total += sum(
            circuit_peak(parameters, circuit, threads=PLANNED_THREADS)
            for circuit in its_levels.circuits
        )
        sources = step.chunks
    return total


def _step_work(
    parameters: Parameters, step: StepPacking, levels: StepLevels, sources: int, hidden: bool
) -> Work:
    """One chunk of a step."""
    layout = step.layout
    diagonals = frozenset(k * layout.blocks for k in layout.steps)
    product = operation_work.transform(
        parameters,
        levels.limbs,
        layout.step_plan,
        diagonals,
        encrypted=hidden,
        kept_share=layout.kept_share,
    )
    limbs = levels.limbs
    product += operation_work.sum_slots(parameters, limbs, layout.terms)
    if layout.halved:
        product += operation_work.rotate(parameters, limbs)
        product += operation_work.multiply_plain(parameters, limbs)
        product += operation_work.linear_combination(parameters, limbs, 2)
    if layout.complex:
        product += operation_work.add_rotated(parameters, limbs)
    work = product * sources
    work += operation_work.linear_combination(parameters, limbs, 2) * (sources - 1)
    work += operation_work.rescale(parameters, limbs, levels.drop)
    if hidden:
        # The bias; one in the clear is added on one thread.
        work += operation_work.linear_combination(parameters, levels.product_limbs, 2)
    for circuit in levels.circuits:
        if hidden and isinstance(circuit, SquareTowerPlan):
            work += hidden_tower_work(parameters, circuit)
        else:
            work += circuit_work(parameters, circuit)
    return work
