// Operations on ciphertexts that need an evaluation key.
#pragma once

#include <span>
#include <vector>

#include "ckks/key_switching.hpp"

namespace strongroom::ckks {

// Every operation here throws std::invalid_argument for ciphertexts or keys of other parameters, a
// key of fewer limbs than the result, and a `drop` that leaves no prime. It returns a ciphertext in
// values form.

// The sum of a[i] b[i], with one key switch, at the lowest level of all factors; rescaled by the
// last `drop` primes of that level in the same division that ends the key switch.
Ciphertext sum_of_products(const Parameters& parameters, std::span<const Ciphertext* const> a,
                           std::span<const Ciphertext* const> b, const SwitchingKey& key,
                           std::size_t drop);

// added + (X -> X^g of a ciphertext), g the key's Galois element; both of one level, in any form.
Ciphertext add_automorphism(const Parameters& parameters, const Ciphertext& ciphertext,
                            const SwitchingKey& key, const Ciphertext& added);

// X -> X^g, g the key's Galois element.
Ciphertext apply_automorphism(const Parameters& parameters, const Ciphertext& ciphertext,
                              const SwitchingKey& key);

// The same for many keys, with one decomposition.
std::vector<Ciphertext> apply_automorphisms(const Parameters& parameters,
                                            const Ciphertext& ciphertext,
                                            std::span<const SwitchingKey* const> keys);

}  // namespace strongroom::ckks
