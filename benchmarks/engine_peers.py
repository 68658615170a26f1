"""The peers: Microsoft SEAL 4.4 through `seal-python`, and TenSEAL on top of SEAL.

SEAL is called in the quickest way that its binding has: results go into objects that exist
already where it takes them, vectors are in its own type, and the input of a product is not copied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import seal
import tenseal
from engine_chains import PEER_SPECIAL_BITS, Chain
from numpy.typing import NDArray

_COMPRESSION_BYTE = 5
"""Where SEAL's header says how what follows was compressed."""


class Seal:
    """SEAL with keys for one chain, and two encrypted vectors to work on.

    Args:
        chain: whose data primes it takes.
        first, second: what is encrypted, with the secret key, shape (N/2,).
    """

    def __init__(
        self, chain: Chain, first: NDArray[np.complex128], second: NDArray[np.complex128]
    ) -> None:
        self._chain = chain
        parameters = seal.EncryptionParameters(seal.scheme_type.ckks)
        parameters.set_poly_modulus_degree(chain.ring_degree)
        primes = (*chain.data_primes, chain.peer_special_prime)
        parameters.set_coeff_modulus([seal.Modulus(prime) for prime in primes])
        context = seal.SEALContext(parameters, True, seal.sec_level_type.tc128)
        if not context.parameters_set():
            raise ValueError(f"SEAL refuses {chain}: {context.parameter_error_message()}")
        keys = seal.KeyGenerator(context)
        self._scale = float(chain.scale)
        self._encoder = seal.CKKSEncoder(context)
        self._public = seal.Encryptor(context, keys.create_public_key())
        self._secret = seal.Encryptor(context, keys.secret_key())
        self._decryptor = seal.Decryptor(context, keys.secret_key())
        self._evaluator = seal.Evaluator(context)
        self._relinearisation = keys.create_relin_keys()
        self._keys = keys
        self._rotations = self._galois_keys([1])

        self._vector = seal.VectorComplex(first.tolist())
        self._plaintext = self._encode_into(seal.Plaintext())
        self._factor = self._encoder.encode_complex(second, self._scale)
        self._ciphertext = self._secret.encrypt_symmetric(self._plaintext)
        self._other = self._secret.encrypt_symmetric(self._factor)
        self._product = self.multiply()
        self._encoded = seal.Plaintext()
        self._encrypted = seal.Ciphertext(context)
        self._decrypted = seal.Plaintext()

    def rotate(self) -> seal.Ciphertext:
        """The first vector, rotated by one slot."""
        return self._evaluator.rotate_vector(self._ciphertext, 1, self._rotations)

    def multiply(self) -> seal.Ciphertext:
        """The relinearised product of both vectors."""
        product = self._evaluator.multiply(self._ciphertext, self._other)
        self._evaluator.relinearize_inplace(product, self._relinearisation)
        return product

    def rescale(self) -> seal.Ciphertext:
        """That product, rescaled by one prime."""
        return self._evaluator.rescale_to_next(self._product)

    def multiply_plain(self) -> seal.Ciphertext:
        """The first vector times the second as a plaintext."""
        return self._evaluator.multiply_plain(self._ciphertext, self._factor)

    def encode(self) -> seal.Plaintext:
        """The first vector as a plaintext at all levels."""
        return self._encode_into(self._encoded)

    def _encode_into(self, plaintext: seal.Plaintext) -> seal.Plaintext:
        self._encoder.encode_complex(self._vector, self._scale, plaintext)
        return plaintext

    def encrypt(self) -> seal.Ciphertext:
        """The first vector under the public key."""
        self._public.encrypt(self._plaintext, self._encrypted)
        return self._encrypted

    def decrypt(self) -> seal.Plaintext:
        """The plaintext of the encrypted first vector."""
        self._decryptor.decrypt(self._ciphertext, self._decrypted)
        return self._decrypted

    def decrypt_and_decode(self) -> NDArray[np.complex128]:
        """The encrypted first vector, back in the clear."""
        return self._decode(self.decrypt())

    def values(self, result: Any) -> NDArray[np.complex128]:
        """What a result of the above holds, shape (N/2,)."""
        if isinstance(result, np.ndarray):
            return result
        if isinstance(result, seal.Ciphertext):
            result = self._decryptor.decrypt(result)
        return self._decode(result)

    def key_bytes(self, steps: list[int]) -> int:
        """Serialised rotation keys, without generic compression (the binding's default)."""
        serialised: bytes = self._galois_keys(steps).to_string()
        if serialised[_COMPRESSION_BYTE] != int(seal.compr_mode_type.none):
            raise ValueError("SEAL compressed its keys")
        return len(serialised)

    def seeded_key_bytes(self, steps: list[int]) -> int:
        """The same with a seed for the uniform half of each key, which SEAL's C++ interface can
        write and the binding cannot; so this is computed: 64 bytes instead of each such half."""
        digits = len(self._chain.data_bits)
        uniform_half = (digits + 1) * self._chain.ring_degree * 8
        return self.key_bytes(steps) - len(steps) * digits * (uniform_half - 64)

    def _decode(self, plaintext: seal.Plaintext) -> NDArray[np.complex128]:
        values: NDArray[np.complex128] = self._encoder.decode_complex(plaintext)
        return values

    def _galois_keys(self, steps: list[int]) -> seal.GaloisKeys:
        galois_keys = seal.GaloisKeys()
        self._keys.create_galois_keys(steps, galois_keys)
        return galois_keys


class Tenseal:
    """A TenSEAL context with rotation keys, on one thread.

    Args:
        chain: sizes of its data primes; the primes themselves are the chain's, too.
        values: the vector that is encrypted.
    """

    def __init__(self, chain: Chain, values: NDArray[np.float64]) -> None:
        context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS,
            poly_modulus_degree=chain.ring_degree,
            coeff_mod_bit_sizes=[*chain.data_bits, PEER_SPECIAL_BITS],
            n_threads=1,
        )
        context.global_scale = float(chain.scale)
        self._context = context
        self._vector = tenseal.ckks_vector(context, values.tolist())

    def prepare_matrix(self, matrix: NDArray[np.float64]) -> None:
        """Take a matrix, shape (outputs, inputs), and make the rotation keys."""
        self._context.generate_galois_keys()
        self._matrix = tenseal.plain_tensor(matrix.T.tolist())

    def multiply_matrix(self) -> tenseal.CKKSVector:
        """The matrix times the vector."""
        return self._vector.mm(self._matrix)

    def prepare_polynomial(self, coefficients: NDArray[np.float64]) -> None:
        """Take the coefficients, constant first."""
        self._coefficients = coefficients.tolist()

    def evaluate_polynomial(self) -> tenseal.CKKSVector:
        """The polynomial at every value of the vector."""
        return self._vector.polyval(self._coefficients)

    def values(self, result: tenseal.CKKSVector) -> NDArray[np.float64]:
        """What a result holds."""
        return np.array(result.decrypt())
