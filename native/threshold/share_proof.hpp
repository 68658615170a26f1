// One round of a proof that a decryption share is of parts whose public samples are known.
//
// A part s is bound by its *check*: samples b_i = -a_i s + e_i modulo the first data primes, for
// two public a_i, with small e_i. A share is w = (s c1)[positions] + f with smudging f. The proof
// is a sigma protocol with one-bit challenges (docs/reference/committee.md). A mask (y, y_1, y_2,
// g) is expanded from a seed, and
//
//     t_i = a_i y - y_i,    u = (y c1)[positions] + g
//
// is what its prover is bound to. Challenged with 0 it shows the seed. Challenged with 1 it shows
//
//     z = y + s,    z_i = y_i + e_i,    h = g + f
//
// from which t_i = a_i z - z_i + b_i and u = (z c1)[positions] + h - w. All y are uniform modulo
// the primes, so z says nothing. y_i are uniform in [-2^m, 2^m), and an answer is withheld where
// some coefficient of z_i is within the errors' bound of the ends, so that what is shown is uniform
// whatever the errors are. g is a Gaussian of at least 2^kLogMask times the smudging's deviation,
// and at most 1.4 times that: the caller counts what it says (engine/share_proofs.py).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ring/random.hpp"
#include "threshold/key_part.hpp"

namespace strongroom::threshold {

using int128 = __int128;
using ring::uint128;

inline constexpr std::size_t kSamples = 2;
inline constexpr double kLogMask = 4.0;
inline constexpr double kWidestMask = 1.4;

// Both samples of a check: in values form, modulo the same data primes.
using Samples = std::array<ring::Polynomial, kSamples>;

// The public polynomials of both, modulo so many primes.
Samples public_polynomials(const ckks::Parameters& parameters, std::span<const ring::Seed> seeds,
                           std::size_t limbs);

// Samples -a_i s + e_i of a secret, with errors of deviation 2^log_sigma, at least.
Samples wide_samples(const KeyPart& secret, const Samples& a, double log_sigma);

// Whether b_i + a_i (sum of parts) are errors of at most `bound` in absolute value, which is less
// than half of every prime (or std::invalid_argument).
bool are_samples_of(std::span<const KeyPart* const> parts, const Samples& a, const Samples& b,
                    std::uint64_t bound);

class ShareRelation {
  public:
    // c1 is in coefficient form, modulo no more primes than the samples. An error is at most
    // `error_bound`, masks of errors have 2^log_mask for a bound. Throws std::invalid_argument for
    // what does not fit together: masks that are not above the errors, smudging too wide for the
    // primes of c1, a position that is not below N.
    ShareRelation(const ckks::Parameters& parameters, Samples a, ring::Polynomial c1,
                  std::vector<std::uint32_t> positions, double log_sigma, std::uint64_t error_bound,
                  unsigned log_mask);

    // Words of (t_1, t_2, u) for a seed's mask: prime by prime, all coefficients or positions.
    std::vector<std::uint64_t> commitment(const ring::Seed& seed) const;

    // The same from an answer, for the sample b and the share w (for each prime of c1, all
    // positions). Nothing for bytes that are no answer: of another length, out of range.
    std::optional<std::vector<std::uint64_t>> commitment(std::span<const std::uint8_t> answer,
                                                         const Samples& b,
                                                         std::span<const std::uint64_t> w) const;

    // z, z_1, z_2 and h, bit-packed, h in 16 bytes each.
    std::size_t answer_bytes() const;

    const Samples& a() const { return a_; }

  private:
    friend class ShareProver;

    struct Mask;
    Mask mask_of(const ring::Seed& seed) const;
    // t_i and u of any mask or answer.
    void append_images(std::vector<std::uint64_t>& words, const ring::Polynomial& values,
                       std::span<const ring::Secret<std::int64_t>> errors,
                       std::span<const int128> smudging, const Samples* b,
                       std::span<const std::uint64_t> w) const;

    // The numbers of a smudging mask: sums of the error sampler's, times 1, 2, 4, ... 2^(digits -
    // 1), the last of them several times. By table and integers only: two machines expand the same.
    struct Width {
        unsigned digits = 0;
        unsigned last = 0;
    };
    static Width width_for(double log_sigma);

    ring::RingPointer ring_;
    Samples a_;
    ring::Polynomial c1_;  // in values form
    std::vector<std::uint32_t> positions_;
    double log_sigma_;
    Width width_;
    std::uint64_t error_bound_;
    unsigned log_mask_;
};

// Who knows the parts. Everything of it is wiped on release.
class ShareProver {
  public:
    // Throws std::invalid_argument if the samples are not of these parts, or the share is not.
    ShareProver(const ShareRelation& relation, std::span<const KeyPart* const> parts,
                const Samples& b, std::span<const std::uint64_t> w);
    ShareProver(ShareProver&&) = default;
    ShareProver& operator=(ShareProver&&) = delete;
    ~ShareProver();

    // The answer to challenge 1 for a seed's mask; nothing where it is withheld. At most one seed's
    // commitment is ever answered both ways: that shows the parts.
    std::optional<std::vector<std::uint8_t>> answer(const ring::Seed& seed) const;

  private:
    const ShareRelation* relation_;
    ring::Polynomial secret_;
    std::array<ring::Secret<std::int64_t>, kSamples> errors_;
    ring::Secret<int128> smudging_;
};

}  // namespace strongroom::threshold
