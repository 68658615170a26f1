// Shares of collective keys, their sums, and keys that are made of the sums.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "ckks/switching_keys.hpp"
#include "ring/bitpack.hpp"
#include "threshold/key_part.hpp"

namespace strongroom::threshold {

// Polynomials in values form over the same data primes and all special primes. Every share is
// linear in the parts of the key, so that the sum of all shares is a share of the whole key.
using Share = std::vector<ring::Polynomial>;

// How many digits a switching key has: polynomials of a share. Throws std::invalid_argument as
// SwitchingKey::size does.
std::size_t digits_of(const ckks::Parameters& parameters, std::size_t limbs);

// Polynomial after polynomial, as they travel.
std::vector<std::uint8_t> pack_share(const Share& share);
std::size_t packed_share_bytes(const ckks::Parameters& parameters, std::size_t limbs,
                               std::size_t polynomials);

// Which share of several is none, and why.
struct ShareFault {
    std::size_t share;
    ring::UnpackFault fault;
};

// The sum of shares from strangers, one at least (or std::invalid_argument): the length of each is
// checked before anything is allocated for it, and every word against its prime.
std::variant<Share, ShareFault> sum_of_shares(
    const ckks::Parameters& parameters, std::size_t limbs, std::size_t polynomials,
    std::span<const std::span<const std::uint8_t>> shares);

// For the public key: -a r + e, for the `a` of the seed.
Share public_key_share(const ckks::Parameters& parameters, const KeyPart& part,
                       const ring::Seed& seed, std::size_t limbs);

// Whether a share for the public key is of this part: b + a r is an error as it is sampled.
bool is_public_key_share_of(const ckks::Parameters& parameters, const KeyPart& part,
                            const ring::Seed& seed, const Share& share);

// For the key of an automorphism: for each digit b_d = -a_d r' + P g_d r + e, with r' the inverse
// automorphism of r. What travels are the b_d (ckks::pack_switching_key): a share with a polynomial
// for each digit. Throws std::invalid_argument for an element that is even, 1 or not below 2N.
ckks::SwitchingKey galois_key_share(const ckks::Parameters& parameters, const KeyPart& part,
                                    const ring::Seed& seed, std::uint64_t element,
                                    std::size_t limbs);

// Keys of sums: ordinary ones, as ckks makes them.
ckks::PublicKey collective_public_key(const ckks::Parameters& parameters, const ring::Seed& seed,
                                      Share sum);
ckks::SwitchingKey collective_galois_key(const ckks::Parameters& parameters, const ring::Seed& seed,
                                         std::uint64_t element, const Share& sum);

}  // namespace strongroom::threshold
