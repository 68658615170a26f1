// Randomness: secrets and errors from the operating system only; public uniform polynomials from a
// 32-byte seed by ChaCha20.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ring/ring.hpp"

namespace strongroom::ring {

using Seed = std::array<std::uint8_t, 32>;

// Fills memory from getrandom(2) or its equal; throws std::runtime_error if the system fails.
void system_random(void* memory, std::size_t bytes);
Seed random_seed();

// What a public polynomial is for; part of the ChaCha20 nonce.
enum class Purpose : std::uint32_t {
    kCiphertext = 1,
    kPublicKey = 2,
    kSwitchingKey = 3,
    // Secret from here on: the seed is, and the keystream is wiped.
    kKeyPart = 4,
    kShareMask = 5,
};

// A uniform polynomial in values form, determined by the seed (docs/reference/format.md): the row
// of prime i reads the keystream of ChaCha20 with the seed as key, nonce (purpose, i, index) and
// counter 0 as little-endian words, of 4 bytes for primes up to 32 bits and of 8 bytes above, keeps
// the lowest bits of each, as many as the prime has, and skips those that are not below the prime.
Polynomial expand_uniform(const RingPointer& ring, std::size_t limbs, const Seed& seed,
                          Purpose purpose, std::uint32_t index = 0, Extent extent = Extent::kData);

// Its row of one prime: N words.
void expand_uniform_row(const Ring& ring, std::size_t prime, const Seed& seed, Purpose purpose,
                        std::uint32_t index, std::uint64_t* out);

// The keystream itself, as little-endian words of 8 bytes, with nonce (purpose, 0, index).
void expand_words(const Kernel& kernel, const Seed& seed, Purpose purpose, std::uint32_t index,
                  std::span<std::uint64_t> out);

// Uniform over {-1, 0, 1}.
Secret<std::int32_t> sample_ternary(std::size_t n);

// Discrete Gaussian of standard deviation 3.2; n is a multiple of 8.
Secret<std::int32_t> sample_error(std::size_t n, const Kernel& kernel);

// Wide Gaussian noise. Value i is 2^shift high[i] + low[i]: a Gaussian of standard deviation
// 2^log_sigma rounded to a multiple of 2^shift, plus two uniform numbers below 2^shift. `shift` is
// 0 up to log_sigma = 40 and leaves the rounded Gaussian 40 bits above, where doubles are exact, so
// that the lowest bits of a wide flood carry no pattern. Two, because their sum joins the steps of
// the rounded density by straight lines: with one, whose density has jumps, a shift by d < 2^shift
// would show with a divergence in proportion to d instead of its square.
struct Flood {
    unsigned shift = 0;
    Secret<std::int64_t> high;
    Secret<std::uint64_t> low;
};

inline constexpr double kMaxLogFlood = 100.0;

// Box-Muller: two values for each six uniform words (radius, angle, and two low parts for each
// value). log_sigma is from 0 to kMaxLogFlood, or std::invalid_argument is thrown.
Flood flood_from_uniform(std::span<const std::uint64_t> uniform, double log_sigma);

// At least n values from the operating system's randomness.
Flood sample_flood(std::size_t n, double log_sigma);

// Add value i to coefficient positions[i] of a polynomial in coefficient form.
void add_flood(Polynomial& polynomial, std::span<const std::uint32_t> positions,
               const Flood& flood);

}  // namespace strongroom::ring
