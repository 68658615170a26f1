#include "threshold/share_proof.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "threshold/decryption.hpp"
#include "threshold/polynomial_bytes.hpp"

namespace strongroom::threshold {

using ring::Form;
using ring::Modulus;
using ring::Polynomial;
using ring::Secret;

namespace {

// Of smudging and of its masks, in standard deviations: beyond what is ever sampled.
constexpr double kWidth = 10.0;
constexpr double kErrorDeviation = 3.2;
constexpr std::size_t kSmudgingBytes = 16;

// Which part of a mask is expanded from which stream.
constexpr std::uint32_t kFirstError = 1;
constexpr std::uint32_t kSmudging = 1 + static_cast<std::uint32_t>(kSamples);

// Signed numbers modulo a prime, in constant time.
std::uint64_t negated_if(std::uint64_t residue, std::uint64_t mask, const Modulus& m) {
    return (residue & ~mask) | (ring::reduce_once(m.value - residue, m.value) & mask);
}

std::uint64_t residue_of(std::int64_t x, const Modulus& m) {
    const std::int64_t sign = x >> 63;
    const std::uint64_t magnitude =
        ring::reduce_any(static_cast<std::uint64_t>((x ^ sign) - sign), m);
    return negated_if(magnitude, static_cast<std::uint64_t>(sign), m);
}

std::uint64_t residue_of(int128 x, const Modulus& m) {
    const int128 sign = x >> 127;
    const std::uint64_t magnitude = ring::reduce_wide(static_cast<uint128>((x ^ sign) - sign), m);
    return negated_if(magnitude, static_cast<std::uint64_t>(sign), m);
}

// The number below half of the product of the first primes that have less than 2^126 together, in
// absolute value, that has these residues modulo the first `limbs` primes; nothing if there is
// none.
std::optional<int128> centred(const ring::Ring& ring, const std::uint64_t* residues,
                              std::size_t limbs, std::size_t stride) {
    constexpr uint128 kRoom = static_cast<uint128>(1) << 126;
    uint128 value = residues[0];
    uint128 product = ring.modulus(0).value;
    std::size_t row = 1;
    // Garner's algorithm: each prime adds a digit in mixed radix.
    for (; row < limbs && product < kRoom / ring.modulus(row).value; ++row) {
        const Modulus& m = ring.modulus(row);
        const std::uint64_t inverse = ring::inverse_mod(ring::reduce_wide(product, m), m);
        const std::uint64_t difference =
            ring::subtract_mod(residues[row * stride], ring::reduce_wide(value, m), m);
        value += static_cast<uint128>(ring::multiply_mod(difference, inverse, m)) * product;
        product *= m.value;
    }
    const int128 result =
        static_cast<int128>(value) - (value > product / 2 ? static_cast<int128>(product) : 0);
    for (; row < limbs; ++row) {
        if (residue_of(result, ring.modulus(row)) != residues[row * stride]) return std::nullopt;
    }
    return result;
}

Polynomial lifted(const ring::RingPointer& ring, std::size_t limbs,
                  std::span<const std::int64_t> small) {
    Polynomial result = Polynomial::unset(ring, limbs, Form::kCoefficients);
    for (std::size_t row = 0; row < limbs; ++row) {
        for (std::size_t i = 0; i < ring->degree(); ++i) {
            result.row(row)[i] = residue_of(small[i], result.modulus(row));
        }
    }
    result.to_values();
    return result;
}

Polynomial sum_of(std::span<const KeyPart* const> parts, std::size_t limbs) {
    if (parts.empty()) throw std::invalid_argument("no parts to prove a share of");
    const ring::RingPointer& ring = parts[0]->values().ring_pointer();
    Polynomial sum(ring, limbs, Form::kValues);
    for (const KeyPart* part : parts) {
        if (part->values().ring_pointer() != ring) {
            throw std::invalid_argument("parts of keys of different parameters");
        }
        for (std::size_t row = 0; row < limbs; ++row) {
            ring->kernel().add(sum.row(row), sum.row(row), part->values().row(row), ring->degree(),
                               sum.modulus(row));
        }
    }
    return sum;
}

// b + a s as integers, if they are no larger than the bound and the same modulo every prime.
std::optional<Secret<std::int64_t>> errors_of(const Polynomial& secret, const Polynomial& a,
                                              const Polynomial& b, std::uint64_t bound) {
    Polynomial error = a;
    error.multiply(secret);
    error.add(b);
    error.to_coefficients();
    const std::size_t n = error.degree();
    Secret<std::int64_t> result(n);
    std::uint64_t different = 0;
    for (std::size_t row = 0; row < error.rows(); ++row) {
        const std::uint64_t q = error.modulus(row).value;
        for (std::size_t i = 0; i < n; ++i) {
            // Shifted to be positive, it must be small and the same modulo every prime.
            const std::uint64_t shifted = ring::reduce_once(error.row(row)[i] + bound, q);
            if (row == 0) {
                result[i] = static_cast<std::int64_t>(shifted) - static_cast<std::int64_t>(bound);
            }
            different |= static_cast<std::uint64_t>(shifted > 2 * bound) |
                         (shifted ^ (static_cast<std::uint64_t>(result[i]) + bound));
        }
    }
    error.wipe_all();
    if (different != 0) return std::nullopt;
    return result;
}

bool is_below_half(const Polynomial& polynomial, std::uint64_t bound) {
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        if (bound >= polynomial.modulus(row).value / 2) return false;
    }
    return true;
}

void append_rows(std::vector<std::uint64_t>& words, const Polynomial& polynomial) {
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        words.insert(words.end(), polynomial.row(row), polynomial.row(row) + polynomial.degree());
    }
}

}  // namespace

Samples public_polynomials(const ckks::Parameters& parameters, std::span<const ring::Seed> seeds,
                           std::size_t limbs) {
    if (seeds.size() != kSamples) throw std::invalid_argument("a seed for each sample");
    Samples a;
    for (std::size_t i = 0; i < kSamples; ++i) {
        a[i] = ring::expand_uniform(parameters.ring(), limbs, seeds[i], ring::Purpose::kPublicKey);
    }
    return a;
}

bool are_samples_of(std::span<const KeyPart* const> parts, const Samples& a, const Samples& b,
                    std::uint64_t bound) {
    if (!is_below_half(a[0], bound)) throw std::invalid_argument("a bound that nothing exceeds");
    Polynomial secret = sum_of(parts, a[0].limbs());
    bool all = true;
    for (std::size_t i = 0; i < kSamples; ++i) {
        all = errors_of(secret, a[i], b[i], bound).has_value() && all;
    }
    secret.wipe_all();
    return all;
}

Samples wide_samples(const KeyPart& secret, const Samples& a, double log_sigma) {
    std::vector<std::uint32_t> all(a[0].degree());
    std::iota(all.begin(), all.end(), 0u);
    Samples samples;
    for (std::size_t i = 0; i < kSamples; ++i) {
        const ring::Flood errors = ring::sample_flood(all.size(), log_sigma);
        samples[i] = a[i];
        samples[i].multiply(secret.values());
        samples[i].negate();
        samples[i].to_coefficients();
        ring::add_flood(samples[i], all, errors);
        samples[i].to_values();
    }
    return samples;
}

struct ShareRelation::Mask {
    Polynomial values;
    std::array<Secret<std::int64_t>, kSamples> errors;
    Secret<int128> smudging;

    Mask() = default;
    Mask(Mask&&) = default;
    Mask& operator=(Mask&&) = delete;
    ~Mask() {
        if (values.ring_pointer()) values.wipe_all();
    }
};

ShareRelation::ShareRelation(const ckks::Parameters& parameters, Samples a, Polynomial c1,
                             std::vector<std::uint32_t> positions, double log_sigma,
                             std::uint64_t error_bound, unsigned log_mask)
    : ring_(parameters.ring()),
      a_(std::move(a)),
      c1_(std::move(c1)),
      positions_(std::move(positions)),
      log_sigma_(log_sigma),
      width_(width_for(log_sigma)),
      error_bound_(error_bound),
      log_mask_(log_mask) {
    for (const Polynomial& one : a_) {
        a_[0].require_like(one);
        if (one.ring_pointer() != ring_) throw std::invalid_argument("samples over another ring");
    }
    if (c1_.ring_pointer() != ring_ || c1_.form() != Form::kCoefficients ||
        c1_.limbs() > a_[0].limbs()) {
        throw std::invalid_argument("a second polynomial of more primes than the samples have");
    }
    if (log_mask_ > 62 || error_bound_ >= (std::uint64_t{1} << log_mask_) ||
        !is_below_half(a_[0], error_bound_)) {
        throw std::invalid_argument("masks that do not cover the errors");
    }
    double bits = 0.0;
    for (std::size_t row = 0; row < c1_.limbs(); ++row) {
        const double more = std::log2(static_cast<double>(ring_->modulus(row).value));
        if (row > 0 && bits + more > 126.0) break;
        bits += more;
    }
    const double widest = std::log2(4.0 * kWidth * (1.0 + kWidestMask * std::exp2(kLogMask)));
    if (log_sigma_ + widest > bits) {
        throw std::invalid_argument("smudging that is too wide for the primes of the result");
    }
    for (const std::uint32_t position : positions_) {
        if (position >= ring_->degree()) throw std::invalid_argument("no such coefficient");
    }
    c1_.to_values();
}

ShareRelation::Mask ShareRelation::mask_of(const ring::Seed& seed) const {
    const std::size_t n = ring_->degree();
    Mask mask;
    mask.values = ring::expand_uniform(ring_, a_[0].limbs(), seed, ring::Purpose::kShareMask);
    Secret<std::uint64_t> words(n);
    for (std::uint32_t i = 0; i < kSamples; ++i) {
        const std::span<std::uint64_t> uniform(words.data(), n);
        ring::expand_words(ring_->kernel(), seed, ring::Purpose::kShareMask, kFirstError + i,
                           uniform);
        mask.errors[i] = Secret<std::int64_t>(n);
        const std::uint64_t range = std::uint64_t{2} << log_mask_;
        for (std::size_t k = 0; k < n; ++k) {
            mask.errors[i][k] = static_cast<std::int64_t>(uniform[k] & (range - 1)) -
                                static_cast<std::int64_t>(range / 2);
        }
    }
    const std::size_t padded = (positions_.size() + 7) / 8 * 8;
    Secret<std::uint64_t> uniform(padded);
    Secret<std::int32_t> digit(padded);
    mask.smudging = Secret<int128>(positions_.size());
    for (unsigned d = 0; d < width_.digits + width_.last - 1; ++d) {
        ring::expand_words(ring_->kernel(), seed, ring::Purpose::kShareMask, kSmudging + d,
                           uniform);
        ring_->kernel().gaussian(digit.data(), uniform.data(), padded);
        const int128 factor = int128{1} << std::min(d, width_.digits - 1);
        for (std::size_t k = 0; k < positions_.size(); ++k) {
            mask.smudging[k] += digit[k] * factor;
        }
    }
    return mask;
}

ShareRelation::Width ShareRelation::width_for(double log_sigma) {
    if (!(log_sigma >= 0.0) || log_sigma > ring::kMaxLogFlood) {
        throw std::invalid_argument("the smudging is out of bounds");
    }
    // In squares of the sampler's deviation: 1 + 4 + ... + 4^(d - 2) + last 4^(d - 1). Steps of it
    // are by factors of at most 7/4, so the deviation is at most 1.33 times what is needed. (That
    // such sums are discrete Gaussians: Micciancio, Walter, CRYPTO 2017.)
    const double needed =
        std::exp2(2.0 * (log_sigma + kLogMask)) / (kErrorDeviation * kErrorDeviation);
    double square = 1.0;
    double below = 0.0;
    for (unsigned digits = 1;; ++digits) {
        for (unsigned last = 1; last <= 4; ++last) {
            if (below + last * square >= needed) return {digits, last};
        }
        below += square;
        square *= 4.0;
    }
}

void ShareRelation::append_images(std::vector<std::uint64_t>& words, const Polynomial& values,
                                  std::span<const Secret<std::int64_t>> errors,
                                  std::span<const int128> smudging, const Samples* b,
                                  std::span<const std::uint64_t> w) const {
    for (std::size_t i = 0; i < kSamples; ++i) {
        Polynomial image = a_[i];
        image.multiply(values);
        image.subtract(lifted(ring_, image.limbs(), errors[i]));
        if (b != nullptr) image.add((*b)[i]);
        append_rows(words, image);
    }
    Polynomial product = c1_;
    product.multiply(values);
    product.to_coefficients();
    const std::size_t count = positions_.size();
    for (std::size_t row = 0; row < product.limbs(); ++row) {
        const Modulus& m = product.modulus(row);
        for (std::size_t k = 0; k < count; ++k) {
            std::uint64_t word =
                ring::add_mod(product.row(row)[positions_[k]], residue_of(smudging[k], m), m);
            if (!w.empty()) {
                word = ring::subtract_mod(word, w[row * count + k], m);
            }
            words.push_back(word);
        }
    }
    product.wipe_all();
}

std::vector<std::uint64_t> ShareRelation::commitment(const ring::Seed& seed) const {
    std::vector<std::uint64_t> words;
    const Mask mask = mask_of(seed);
    append_images(words, mask.values, mask.errors, mask.smudging, nullptr, {});
    return words;
}

std::size_t ShareRelation::answer_bytes() const {
    return packed_bytes(*ring_, a_[0].limbs(), ring::Extent::kData) +
           kSamples * ring::packed_bytes(ring_->degree(), log_mask_ + 1) +
           kSmudgingBytes * positions_.size();
}

std::optional<std::vector<std::uint64_t>> ShareRelation::commitment(
    std::span<const std::uint8_t> answer, const Samples& b,
    std::span<const std::uint64_t> w) const {
    if (w.size() != c1_.limbs() * positions_.size()) {
        throw std::invalid_argument("a share of another number of words");
    }
    for (const Polynomial& one : b) a_[0].require_like(one);
    if (answer.size() != answer_bytes()) return std::nullopt;
    const std::size_t n = ring_->degree();
    Polynomial values = Polynomial::unset(ring_, a_[0].limbs(), Form::kValues);
    std::size_t at = packed_bytes(*ring_, values.limbs(), ring::Extent::kData);
    if (unpack_into(values, answer.subspan(0, at))) return std::nullopt;
    std::array<Secret<std::int64_t>, kSamples> errors;
    const std::uint64_t range = std::uint64_t{2} << log_mask_;
    const std::size_t size = ring::packed_bytes(n, log_mask_ + 1);
    std::vector<std::uint64_t> shifted(n);
    for (Secret<std::int64_t>& error : errors) {
        // Bit-packed at the length of range - 1, so that every word is in range.
        if (ring::unpack(shifted, answer.subspan(at, size), range - 1)) return std::nullopt;
        at += size;
        error = Secret<std::int64_t>(n);
        for (std::size_t k = 0; k < n; ++k) {
            if (shifted[k] < error_bound_ || shifted[k] >= range - error_bound_) {
                return std::nullopt;
            }
            error[k] = static_cast<std::int64_t>(shifted[k]) - static_cast<std::int64_t>(range / 2);
        }
    }
    std::vector<int128> smudging(positions_.size());
    const double widest =
        std::exp2(log_sigma_) * kWidth * (1.0 + kWidestMask * std::exp2(kLogMask));
    for (int128& one : smudging) {
        std::memcpy(&one, answer.data() + at, kSmudgingBytes);
        at += kSmudgingBytes;
        if (!(std::abs(static_cast<double>(one)) <= widest)) return std::nullopt;
    }
    std::vector<std::uint64_t> words;
    append_images(words, values, errors, smudging, &b, w);
    return words;
}

ShareProver::ShareProver(const ShareRelation& relation, std::span<const KeyPart* const> parts,
                         const Samples& b, std::span<const std::uint64_t> w)
    : relation_(&relation), secret_(sum_of(parts, relation.a()[0].limbs())) {
    for (std::size_t i = 0; i < kSamples; ++i) {
        auto errors = errors_of(secret_, relation.a()[i], b[i], relation.error_bound_);
        if (!errors) throw std::invalid_argument("the samples are not of these parts");
        errors_[i] = std::move(*errors);
    }
    const std::vector<std::uint32_t>& positions = relation.positions_;
    const std::size_t limbs = relation.c1_.limbs();
    if (w.size() != limbs * positions.size()) {
        throw std::invalid_argument("a share of another number of words");
    }
    Polynomial product = relation.c1_;
    product.multiply(secret_);
    product.to_coefficients();
    Secret<std::uint64_t> differences(w.size());
    for (std::size_t row = 0; row < limbs; ++row) {
        const Modulus& m = product.modulus(row);
        for (std::size_t k = 0; k < positions.size(); ++k) {
            const std::size_t at = row * positions.size() + k;
            if (w[at] >= m.value) throw std::invalid_argument("a word is not below its prime");
            differences[at] = ring::subtract_mod(w[at], product.row(row)[positions[k]], m);
        }
    }
    product.wipe_all();
    const double widest = std::exp2(relation.log_sigma_) * kWidth;
    smudging_ = Secret<int128>(positions.size());
    for (std::size_t k = 0; k < positions.size(); ++k) {
        const auto found =
            centred(*relation.ring_, differences.data() + k, limbs, positions.size());
        if (!found || std::abs(static_cast<double>(*found)) > widest) {
            throw std::invalid_argument("the share is not of these parts");
        }
        smudging_[k] = *found;
    }
}

ShareProver::~ShareProver() {
    if (secret_.ring_pointer()) secret_.wipe_all();
}

std::optional<std::vector<std::uint8_t>> ShareProver::answer(const ring::Seed& seed) const {
    const ShareRelation& relation = *relation_;
    ShareRelation::Mask mask = relation.mask_of(seed);
    const std::size_t n = relation.ring_->degree();
    const std::uint64_t range = std::uint64_t{2} << relation.log_mask_;
    std::array<Secret<std::uint64_t>, kSamples> shifted;
    bool shown = true;
    for (std::size_t i = 0; i < kSamples; ++i) {
        shifted[i] = Secret<std::uint64_t>(n);
        for (std::size_t k = 0; k < n; ++k) {
            const std::int64_t sum = mask.errors[i][k] + errors_[i][k];
            shifted[i][k] = static_cast<std::uint64_t>(sum + static_cast<std::int64_t>(range / 2));
            shown &= shifted[i][k] - relation.error_bound_ < range - 2 * relation.error_bound_;
        }
    }
    if (!shown) return std::nullopt;
    std::vector<std::uint8_t> bytes;
    bytes.reserve(relation.answer_bytes());
    mask.values.add(secret_);
    append_packed(bytes, mask.values);
    for (const Secret<std::uint64_t>& one : shifted) {
        const std::size_t at = bytes.size();
        bytes.resize(at + ring::packed_bytes(n, relation.log_mask_ + 1));
        ring::pack({bytes.data() + at, bytes.size() - at}, {one.data(), n}, relation.log_mask_ + 1);
    }
    for (std::size_t k = 0; k < smudging_.size(); ++k) {
        const int128 sum = mask.smudging[k] + smudging_[k];
        const std::size_t at = bytes.size();
        bytes.resize(at + kSmudgingBytes);
        std::memcpy(bytes.data() + at, &sum, kSmudgingBytes);
    }
    return bytes;
}

}  // namespace strongroom::threshold
