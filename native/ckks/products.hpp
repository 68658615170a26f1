// Operations on ciphertexts that need an evaluation key.
#pragma once

#include <span>
#include <vector>

#include "ckks/key_switching.hpp"

namespace strongroom::ckks {

// Every operation here takes ciphertexts of one level and throws std::invalid_argument for others,
// for a key of other parameters or fewer limbs, and for a `drop` that leaves no prime. It returns a
// ciphertext in values form, rescaled by the last `drop` primes in the same division that ends the
// key switch.

// The sum of a[i] b[i], with one key switch.
Ciphertext sum_of_products(const Parameters& parameters, std::span<const Ciphertext* const> a,
                           std::span<const Ciphertext* const> b, const SwitchingKey& key,
                           std::size_t drop);

// X -> X^g, g the key's Galois element.
Ciphertext apply_automorphism(const Parameters& parameters, const Ciphertext& ciphertext,
                              const SwitchingKey& key);

// The same for many keys, with one decomposition.
std::vector<Ciphertext> apply_automorphisms(const Parameters& parameters,
                                            const Ciphertext& ciphertext,
                                            std::span<const SwitchingKey* const> keys);

}  // namespace strongroom::ckks
