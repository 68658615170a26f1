// Operations on ciphertexts that need no evaluation key, and what makes a result safe to hand out.
#pragma once

#include <cstdint>
#include <span>

#include "ckks/encryption.hpp"

namespace strongroom::ckks {

// Sums need equal scales, which the caller tracks, and equal levels.
void add(Ciphertext& ciphertext, const Ciphertext& other);
void add_plain(Ciphertext& ciphertext, const Plaintext& plaintext);

// Add round(values[i] scale) to coefficient positions[i] of the message; both parts come out in
// coefficient form. Throws std::invalid_argument for a position that does not exist, or a value
// that is not finite or reaches half of the modulus.
void add_at(Ciphertext& ciphertext, std::span<const std::uint32_t> positions,
            std::span<const double> values, double scale);

// The plaintext may have more limbs, and special primes, which are not looked at. In values form,
// it is multiplied by as it is.
Ciphertext multiply_plain(const Ciphertext& ciphertext, const Plaintext& plaintext);

// The sum of factor_i ciphertexts[i], plus a constant polynomial's values. Factors come as residues
// of integers times 2^52, for each limb as many as there are ciphertexts; the constants as one
// residue a limb (the same integer in every slot is the same in every value).
Ciphertext linear_combination(const Parameters& parameters,
                              std::span<const Ciphertext* const> ciphertexts,
                              std::span<const std::uint64_t> factors,
                              std::span<const std::uint64_t> constants);

// Divide by the product of the last `drop` primes and round, once: a composite level.
Ciphertext rescale(const Ciphertext& ciphertext, std::size_t drop);

// Keep the first `limbs` primes: the same message and scale, modulo a smaller product.
void truncate(Ciphertext& ciphertext, std::size_t limbs);

// Make a result say nothing but its declared coefficients, to its key's holder too:
// 1. add a fresh encryption of zero under the client's public key, so that c1 is no longer a known
//    multiple of what the client sent;
// 2. erase every coefficient of c0 that is not declared (a receiver may put random ones there: it
//    learns as much as from a uniformly overwritten one, nothing);
// 3. flood the declared coefficients with a Gaussian of standard deviation 2^log_sigma.
// The result is in coefficient form. Positions are distinct and below N, or std::invalid_argument.
Ciphertext sanitise(const Parameters& parameters, Ciphertext ciphertext, const PublicKey& key,
                    std::span<const std::uint32_t> positions, double log_sigma);

}  // namespace strongroom::ckks
