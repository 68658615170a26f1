// One summand of a secret key that nobody has.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "ckks/keys.hpp"

namespace strongroom::threshold {

// The secret key is the sum of all parts. A fresh part is uniform ternary, as a whole key is. A
// part that was shifted is uniform modulo every prime, special ones included; only the sum of all
// parts is small then. Movable only, and wiped on release: a copy would be one more place to wipe.
class KeyPart {
  public:
    static KeyPart generate(const ckks::Parameters& parameters);

    // A byte that tells the encoding, then the part: 1, and a fresh part as SecretKey::to_bytes
    // has it; or 2, and a shifted part's values, row after row bit-packed. Throws
    // std::invalid_argument for anything else, words that are not below their prime included.
    static KeyPart from_bytes(const ckks::Parameters& parameters,
                              std::span<const std::uint8_t> bytes);
    std::vector<std::uint8_t> to_bytes() const;

    // The uniform polynomial that a seed expands to (docs/reference/format.md): what a refresh adds
    // to one part and subtracts from another. A seed is as secret as a part.
    static KeyPart expanded(const ckks::Parameters& parameters, const ring::Seed& seed);

    // This part plus the polynomials that some seeds expand to, minus those of others. Holders who
    // agree on seeds in pairs, of which one adds what the other subtracts, have new parts of the
    // same key (Herzberg, Jarecki, Krawczyk, Yung, "Proactive secret sharing", CRYPTO 1995).
    KeyPart shifted(std::span<const ring::Seed> add, std::span<const ring::Seed> subtract) const;

    KeyPart(KeyPart&&) = default;
    KeyPart& operator=(KeyPart&&) = delete;
    ~KeyPart();

    // Residues in values form, over the whole chain, special primes included.
    const ring::Polynomial& values() const;

  private:
    explicit KeyPart(ckks::SecretKey fresh) : secret_(std::move(fresh)) {}
    explicit KeyPart(ring::Polynomial shifted) : secret_(std::move(shifted)) {}

    std::variant<ckks::SecretKey, ring::Polynomial> secret_;
};

}  // namespace strongroom::threshold
