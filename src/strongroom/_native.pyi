from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Buffer

class InsecureParametersError(ValueError): ...
class UnpackError(ValueError): ...

LARGEST_LOG_FLOOD: float

def available_kernels() -> list[str]: ...
def largest_log_modulus(security: str, ring_degree: int) -> int: ...

@final
class Parameters:
    def __init__(
        self,
        ring_degree: int,
        primes: list[int],
        special_primes: list[int],
        security: str,
        kernel: str = "",
    ) -> None: ...
    @property
    def ring_degree(self) -> int: ...
    @property
    def limbs(self) -> int: ...
    @property
    def log_modulus(self) -> float: ...
    @property
    def kernel(self) -> str: ...

@final
class SecretKey:
    @staticmethod
    def generate(parameters: Parameters) -> SecretKey: ...
    @staticmethod
    def from_bytes(parameters: Parameters, data: Buffer) -> SecretKey: ...
    def to_bytes(self) -> bytes: ...

@final
class PublicKey:
    @staticmethod
    def generate(parameters: Parameters, secret: SecretKey, limbs: int) -> PublicKey: ...
    @staticmethod
    def unpack(parameters: Parameters, limbs: int, seed: Buffer, b: Buffer) -> PublicKey: ...
    @property
    def limbs(self) -> int: ...
    @property
    def seed(self) -> bytes: ...
    def pack_b(self, parameters: Parameters) -> bytes: ...

@final
class Plaintext:
    @property
    def limbs(self) -> int: ...
    def prepared(self) -> Plaintext: ...
    def residues(self) -> NDArray[np.uint64]: ...

@final
class Ciphertext:
    @property
    def limbs(self) -> int: ...
    def copy(self) -> Ciphertext: ...
    def residues(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]: ...
    def add(self, other: Ciphertext) -> None: ...
    def add_plain(self, plaintext: Plaintext) -> None: ...
    def add_at(
        self, positions: NDArray[np.uint32], values: NDArray[np.float64], scale: float
    ) -> None: ...
    def truncate(self, limbs: int) -> None: ...
    def pack_c0(
        self, parameters: Parameters, positions: NDArray[np.uint32] | None = None
    ) -> bytes: ...
    def pack_c1(self, parameters: Parameters) -> bytes: ...
    @staticmethod
    def unpack(
        parameters: Parameters,
        limbs: int,
        c0: Buffer,
        c1: Buffer,
        positions: NDArray[np.uint32] | None = None,
    ) -> Ciphertext: ...
    @staticmethod
    def unpack_seeded(
        parameters: Parameters,
        limbs: int,
        seed: Buffer,
        c0: Buffer,
        positions: NDArray[np.uint32] | None = None,
    ) -> Ciphertext: ...

@final
class InnerProductWeights:
    def __init__(self, plaintext: Plaintext, length: int) -> None: ...

def inner_products(
    inputs: list[Ciphertext],
    weights: list[InnerProductWeights],
    positions: NDArray[np.uint32],
) -> Ciphertext: ...
def sanitised_inner_products(
    parameters: Parameters,
    inputs: list[Ciphertext],
    weights: list[InnerProductWeights],
    positions: NDArray[np.uint32],
    constants: NDArray[np.float64],
    scale: float,
    key: PublicKey,
    sanitise_limbs: int,
    response_limbs: int,
    log_sigma: float,
) -> Ciphertext: ...
def packed_bytes(parameters: Parameters, limbs: int, count: int) -> int: ...
def public_key_packed_bytes(parameters: Parameters, limbs: int) -> int: ...
def encode_coefficients(
    parameters: Parameters,
    values: NDArray[np.float64],
    scale: float,
    limbs: int,
    transformed: bool = False,
    extended: bool = False,
) -> Plaintext: ...
def encode_slots(
    parameters: Parameters,
    values: NDArray[np.float64] | NDArray[np.complex128],
    scale: float,
    limbs: int,
    transformed: bool = False,
    extended: bool = False,
) -> Plaintext: ...
def decode_coefficients(
    parameters: Parameters, plaintext: Plaintext, scale: float
) -> NDArray[np.float64]: ...
def decode_slots(
    parameters: Parameters, plaintext: Plaintext, scale: float
) -> NDArray[np.complex128]: ...
def encrypt_symmetric(
    parameters: Parameters, plaintext: Plaintext, secret: SecretKey
) -> tuple[bytes, Ciphertext]: ...
def encrypt_public(parameters: Parameters, plaintext: Plaintext, key: PublicKey) -> Ciphertext: ...
def decrypt_raw(ciphertext: Ciphertext, secret: SecretKey) -> Plaintext: ...
def decrypt_flooded(
    ciphertext: Ciphertext,
    secret: SecretKey,
    positions: NDArray[np.uint32],
    scale: float,
    log_sigma: float,
) -> NDArray[np.float64]: ...
def sanitise(
    parameters: Parameters,
    ciphertext: Ciphertext,
    key: PublicKey,
    positions: NDArray[np.uint32],
    log_sigma: float,
) -> Ciphertext: ...

@final
class SwitchingKey:
    def __init__(
        self, parameters: Parameters, element: int, limbs: int, words: NDArray[np.uint64]
    ) -> None: ...
    @staticmethod
    def generate(
        parameters: Parameters, secret: SecretKey, element: int, limbs: int, threads: int
    ) -> SwitchingKey: ...
    @staticmethod
    def unpack(
        parameters: Parameters, element: int, limbs: int, seed: Buffer, b: Buffer, threads: int
    ) -> SwitchingKey: ...
    @property
    def element(self) -> int: ...
    @property
    def limbs(self) -> int: ...
    @property
    def digits(self) -> int: ...
    @property
    def seed(self) -> bytes | None: ...
    @property
    def words(self) -> NDArray[np.uint64]: ...
    def pack_b(self) -> bytes: ...

class ShareError(UnpackError): ...

@final
class KeyPart:
    @staticmethod
    def generate(parameters: Parameters) -> KeyPart: ...
    @staticmethod
    def from_bytes(parameters: Parameters, data: Buffer) -> KeyPart: ...
    @staticmethod
    def expanded(parameters: Parameters, seed: Buffer) -> KeyPart: ...
    def to_bytes(self) -> bytes: ...
    def shifted(self, add: Sequence[Buffer], subtract: Sequence[Buffer]) -> KeyPart: ...

def public_key_share(parameters: Parameters, part: KeyPart, seed: Buffer, limbs: int) -> bytes: ...
def is_public_key_share_of(
    parameters: Parameters, part: KeyPart, seed: Buffer, limbs: int, share: Buffer
) -> bool: ...
def combine_public_key(
    parameters: Parameters, seed: Buffer, limbs: int, shares: Sequence[Buffer]
) -> PublicKey: ...
def galois_key_share(
    parameters: Parameters, part: KeyPart, seed: Buffer, element: int, limbs: int
) -> bytes: ...
def combine_galois_key(
    parameters: Parameters, seed: Buffer, element: int, limbs: int, shares: Sequence[Buffer]
) -> SwitchingKey: ...

@final
class RelinearisationRound:
    @staticmethod
    def begin(
        parameters: Parameters, part: KeyPart, seed: Buffer, limbs: int
    ) -> tuple[RelinearisationRound, bytes]: ...
    def finish(self, parameters: Parameters, part: KeyPart, limbs: int, sum: Buffer) -> bytes: ...

def combine_first_round(parameters: Parameters, limbs: int, shares: Sequence[Buffer]) -> bytes: ...
def combine_relinearisation_key(
    parameters: Parameters, limbs: int, first: Buffer, second: Sequence[Buffer]
) -> NDArray[np.uint64]: ...
def decryption_share(
    parameters: Parameters,
    parts: Sequence[KeyPart],
    limbs: int,
    c1: Buffer,
    positions: NDArray[np.uint32],
    log_sigma: float,
) -> NDArray[np.uint64]: ...
def decrypt_raw_jointly(ciphertext: Ciphertext, parts: Sequence[KeyPart]) -> Plaintext: ...
def sum_centred(
    parameters: Parameters,
    limbs: int,
    count: int,
    summands: Sequence[NDArray[np.uint64]],
    scale: float,
) -> NDArray[np.float64]: ...
def first_part_at(ciphertext: Ciphertext, positions: NDArray[np.uint32]) -> NDArray[np.uint64]: ...
def are_samples_of(
    parameters: Parameters,
    parts: Sequence[KeyPart],
    seeds: Sequence[Buffer],
    samples: NDArray[np.uint64],
    bound: int,
) -> bool: ...
def wide_samples(
    parameters: Parameters, secret: KeyPart, seeds: Sequence[Buffer], limbs: int, log_sigma: float
) -> NDArray[np.uint64]: ...
def pack_rows(parameters: Parameters, words: NDArray[np.uint64]) -> bytes: ...
def unpack_rows(parameters: Parameters, limbs: int, data: Buffer) -> NDArray[np.uint64]: ...

@final
class ShareRelation:
    def __init__(
        self,
        parameters: Parameters,
        seeds: Sequence[Buffer],
        samples: NDArray[np.uint64],
        limbs: int,
        c1: Buffer,
        positions: NDArray[np.uint32],
        log_sigma: float,
        error_bound: int,
        log_mask: int,
    ) -> None: ...
    @property
    def answer_bytes(self) -> int: ...
    def commitment(self, seed: Buffer) -> NDArray[np.uint64]: ...
    def commitment_of(
        self, answer: Buffer, words: NDArray[np.uint64]
    ) -> NDArray[np.uint64] | None: ...

@final
class ShareProver:
    def __init__(
        self, relation: ShareRelation, parts: Sequence[KeyPart], words: NDArray[np.uint64]
    ) -> None: ...
    def answer(self, seed: Buffer) -> bytes | None: ...

def switching_key_words(parameters: Parameters, limbs: int) -> int: ...
def switching_key_packed_bytes(parameters: Parameters, limbs: int) -> int: ...
def multiply_plain(ciphertext: Ciphertext, plaintext: Plaintext, threads: int) -> Ciphertext: ...
def rescale(ciphertext: Ciphertext, drop: int, threads: int) -> Ciphertext: ...
def linear_combination(
    parameters: Parameters,
    ciphertexts: list[Ciphertext],
    factors: NDArray[np.uint64],
    constants: NDArray[np.uint64],
    threads: int,
) -> Ciphertext: ...
def sum_of_products(
    parameters: Parameters,
    a: list[Ciphertext],
    b: list[Ciphertext],
    key: SwitchingKey,
    drop: int,
    threads: int,
) -> Ciphertext: ...
def apply_automorphism(
    parameters: Parameters, ciphertext: Ciphertext, key: SwitchingKey, threads: int
) -> Ciphertext: ...
def add_automorphism(
    parameters: Parameters,
    ciphertext: Ciphertext,
    key: SwitchingKey,
    added: Ciphertext,
    threads: int,
) -> Ciphertext: ...
def apply_automorphisms(
    parameters: Parameters, ciphertext: Ciphertext, keys: list[SwitchingKey], threads: int
) -> list[Ciphertext]: ...

@final
class Diagonals:
    def __init__(
        self, parameters: Parameters, limbs: int, present: list[bool], log_run: int
    ) -> None: ...
    def set(self, place: int, plaintext: Plaintext) -> None: ...
    @property
    def log_run(self) -> int: ...
    @property
    def bytes(self) -> int: ...

def transform_plain(
    parameters: Parameters,
    inputs: list[Ciphertext],
    babies: list[SwitchingKey | None],
    giants: list[SwitchingKey | None],
    diagonals: Diagonals,
    chained: bool,
    drop: int,
    threads: int,
) -> Ciphertext: ...
def transform_encrypted(
    parameters: Parameters,
    inputs: list[Ciphertext],
    babies: list[SwitchingKey | None],
    giants: list[SwitchingKey | None],
    diagonals: list[Ciphertext | None],
    chained: bool,
    relinearisation: SwitchingKey,
    drop: int,
    threads: int,
) -> Ciphertext: ...
