#include "ckks/composition.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <stdexcept>

namespace strongroom::ckks {

using ring::Modulus;

namespace {

// Integers at a time: their digits stay in the first cache or near it.
constexpr std::size_t kBlock = 256;
constexpr std::size_t kSideBySide = 8;

// kMostCombined words whose bounds add up to this are what kernels combine.
constexpr std::uint64_t kLargestSum = std::uint64_t{1} << 53;

}  // namespace

Composition::Composition(const ring::Ring& ring, std::size_t limbs, double scale)
    : ring_(ring), digits_(limbs) {
    constexpr auto kLargestWeight = static_cast<long double>(std::numeric_limits<double>::max());
    long double weight = 1.0L / static_cast<long double>(scale);
    for (std::size_t i = limbs; i-- > 0;) {
        const Modulus& m = ring.modulus(i);
        const std::uint64_t half = (m.value - 1) / 2;
        // Finite beyond a double's exponent too: its digit is zero there, and 0 inf is not.
        digits_[i] = {{},
                      0x1p52 + static_cast<double>(half),
                      static_cast<double>(std::min(weight, kLargestWeight))};
        weight *= static_cast<long double>(m.value);

        // d_i = (... ((r - d_(n-1)) / q_(n-1) - d_(n-2)) / q_(n-2) ... - d_(i+1)) / q_(i+1), with
        // r = x + (q_i - 1)/2, since (Q - 1)/2 is -1/2 modulo each prime.
        std::vector<std::uint64_t> factors = {0};
        std::uint64_t product = 1;
        for (std::size_t j = i + 1; j < limbs; ++j) {
            product = ring::multiply_mod(product, ring.inverse(j, i).value, m);
            factors.push_back(ring::multiply_mod(m.value - product, m.two_52, m));
        }
        factors[0] = ring::multiply_mod(product, m.two_52, m);
        std::uint64_t offset = ring::multiply_mod(product, half, m);

        std::size_t j = i + 1;
        do {
            PartialSum part = {j, j, {j == i + 1 ? factors[0] : m.two_52}, offset};
            std::uint64_t largest = m.value;
            while (j < limbs && part.factors.size() < ring::kMostCombined &&
                   largest + ring.modulus(j).value <= kLargestSum) {
                largest += ring.modulus(j).value;
                part.factors.push_back(factors[j - i]);
                part.last = ++j;
            }
            digits_[i].sum.push_back(std::move(part));
            offset = 0;
        } while (j < limbs);
    }
}

void Composition::to_digits(std::uint64_t* digits, std::span<const std::uint64_t* const> residues,
                            std::size_t at, std::size_t count) const {
    std::array<const std::uint64_t*, ring::kMostCombined> words{};
    for (std::size_t i = digits_.size(); i-- > 0;) {
        std::uint64_t* out = digits + i * kBlock;
        words[0] = residues[i] + at;
        for (const PartialSum& part : digits_[i].sum) {
            for (std::size_t j = part.first; j < part.last; ++j) {
                words[1 + j - part.first] = digits + j * kBlock;
            }
            ring_.kernel().combine(out, words.data(), part.factors.data(), part.factors.size(),
                                   part.offset, count, ring_.modulus(i));
            words[0] = out;
        }
    }
}

void Composition::operator()(double* out, std::span<const std::uint64_t* const> residues,
                             std::size_t count) const {
    if (residues.size() != digits_.size()) throw std::invalid_argument("residues of other primes");
    // The mantissa of 2^52 + d, for words d below 2^52.
    constexpr auto kExponent = std::bit_cast<std::uint64_t>(0x1p52);
    ring::Secret<std::uint64_t> digits(digits_.size() * kBlock);
    for (std::size_t at = 0; at < count; at += kBlock) {
        const std::size_t size = std::min(kBlock, count - at);
        to_digits(digits.data(), residues, at, size);
        for (std::size_t k = 0; k < size; k += kSideBySide) {
            std::array<double, kSideBySide> sum{};
            for (std::size_t i = digits_.size(); i-- > 0;) {
                const std::uint64_t* digit = digits.data() + i * kBlock + k;
                const double shift = digits_[i].shift;
                const double weight = digits_[i].weight;
                for (std::size_t s = 0; s < kSideBySide; ++s) {
                    sum[s] += (std::bit_cast<double>(digit[s] | kExponent) - shift) * weight;
                }
            }
            std::copy(sum.begin(), sum.end(), out + at + k);
        }
    }
}

}  // namespace strongroom::ckks
