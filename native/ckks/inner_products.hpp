// Linear models by coefficients: many inner products by one product of polynomials, of which only
// some coefficients are ever read.
#pragma once

#include <cstdint>
#include <span>

#include "ckks/encryption.hpp"

namespace strongroom::ckks {

// A plaintext of which only the first `length` coefficients are not zero, ready to be multiplied
// by: transformed for c1, and reversed for c0.
class InnerProductWeights {
  public:
    // Throws std::invalid_argument if a coefficient from `length` on is not zero.
    InnerProductWeights(Plaintext plaintext, std::size_t length);

    const ring::Polynomial& values() const { return values_; }
    std::size_t length() const { return length_; }
    const std::uint64_t* reversed(std::size_t limb) const {
        return reversed_.data() + limb * length_;
    }

  private:
    ring::Polynomial values_;
    std::size_t length_;
    ring::Words reversed_;
};

// The sum of inputs[i] weights[i], in coefficient form, with c1 whole and c0 only at `positions`;
// its other coefficients are zero. Coefficient p of a product with weights of length L is an inner
// product of the L coefficients up to p, so for few positions that is far less than a transform.
// Throws std::invalid_argument for operands of different rings or levels, or a position that does
// not exist.
Ciphertext inner_products(std::span<const Ciphertext* const> inputs,
                          std::span<const InnerProductWeights* const> weights,
                          std::span<const std::uint32_t> positions);

// How a result is made safe to hand out, and small: see sanitise().
struct Finishing {
    std::size_t sanitise_limbs;  // rescaled to these many primes before,
    std::size_t response_limbs;  // and to these many after sanitising
    double log_sigma;
};

// inner_products, then constants round(constants[i] scale) added at positions[i], rescaled,
// sanitised and rescaled again: one response, without copies in between.
Ciphertext sanitised_inner_products(const Parameters& parameters,
                                    std::span<const Ciphertext* const> inputs,
                                    std::span<const InnerProductWeights* const> weights,
                                    std::span<const std::uint32_t> positions,
                                    std::span<const double> constants, double scale,
                                    const PublicKey& key, const Finishing& finishing);

}  // namespace strongroom::ckks
