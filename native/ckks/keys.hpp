// Secret and public keys.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ckks/parameters.hpp"
#include "ring/random.hpp"

namespace strongroom::ckks {

// A uniform ternary polynomial. Movable only: a copy would be one more place to wipe.
class SecretKey {
  public:
    static SecretKey generate(const Parameters& parameters);

    // Two bits a coefficient, four coefficients a byte from the lowest bits up: 0, 1, 2 = -1.
    // Throws std::invalid_argument for another length or a pair of bits that is 3.
    static SecretKey from_bytes(const Parameters& parameters, std::span<const std::uint8_t> bytes);
    std::vector<std::uint8_t> to_bytes() const;

    SecretKey(SecretKey&&) = default;
    SecretKey& operator=(SecretKey&&) = delete;
    ~SecretKey() { values_.wipe_all(); }

    // The key's residues in values form, over the whole chain, special primes included.
    const ring::Polynomial& values() const { return values_; }

  private:
    SecretKey(const Parameters& parameters, ring::Secret<std::int32_t> coefficients);

    ring::Secret<std::int32_t> coefficients_;
    ring::Polynomial values_;
};

// (b, a) with b = -a s + e, in values form; a is expanded from a seed.
struct PublicKey {
    ring::Seed seed;
    ring::Polynomial b, a;
};

// Public keys have special primes where the parameters have any.
ring::Extent public_key_extent(const Parameters& parameters);

// A public key over the first `limbs` data primes.
PublicKey generate_public_key(const Parameters& parameters, const SecretKey& secret,
                              std::size_t limbs);

// The same for an `a` that the caller names, and a secret of any residues in values form over the
// whole chain: a member's share of a key that several make. A seed is used once for a secret.
PublicKey make_public_key(const Parameters& parameters, const ring::Polynomial& secret,
                          std::size_t limbs, const ring::Seed& seed);

// A public key from what travelled: b, and the seed of a.
PublicKey restore_public_key(const Parameters& parameters, const ring::Seed& seed,
                             ring::Polynomial b);

}  // namespace strongroom::ckks
