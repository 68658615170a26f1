#include "ckks/rounding.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace strongroom::ckks {

namespace {

constexpr double kLargestWord = 0x1p62;
constexpr int kPartBits = 48;
constexpr std::uint64_t kPartBound = std::uint64_t{1} << kPartBits;

// For |x| <= 2^62. The double before 1/2 is enough for halves, because the sum is rounded too, and
// 1/2 itself would carry what is just below a half over.
std::int64_t rounded(double x) {
    constexpr double kAlmostHalf = 0x1.fffffffffffffp-2;
    return static_cast<std::int64_t>(x + std::copysign(kAlmostHalf, x));
}

// Split so that each part is below 2^kPartBits, the last one after rounding at most that.
std::size_t parts_for(double largest) {
    if (largest < kLargestWord) return 1;
    return static_cast<std::size_t>(std::ilogb(largest) / kPartBits + 1);
}

}  // namespace

double largest_scaled(std::span<const double> values, double scale) {
    if (!(scale > 0 && std::isfinite(scale))) throw std::invalid_argument("no scale to encode at");
    // Several maxima side by side. The difference of a number from itself is zero only if it is
    // finite, and no comparison finds a number that is none.
    constexpr std::size_t kSideBySide = 8;
    std::array<double, kSideBySide> largest{};
    std::array<double, kSideBySide> defect{};
    std::size_t i = 0;
    for (; i + kSideBySide <= values.size(); i += kSideBySide) {
        for (std::size_t k = 0; k < kSideBySide; ++k) {
            const double x = std::fabs(values[i + k]);
            largest[k] = x > largest[k] ? x : largest[k];
            defect[k] += x - x;
        }
    }
    for (; i < values.size(); ++i) {
        largest[0] = std::max(largest[0], std::fabs(values[i]));
        defect[0] += values[i] - values[i];
    }
    for (const double x : defect) {
        if (x != 0) throw std::invalid_argument("a value to encode is not finite");
    }
    // Rounding is monotonous: the largest product is that of the largest value.
    const double result = *std::max_element(largest.begin(), largest.end()) * scale;
    if (!std::isfinite(result)) {
        throw std::invalid_argument("a value to encode reaches half of the modulus");
    }
    return result;
}

RoundedIntegers::RoundedIntegers(std::size_t count, double largest)
    : padded_((count + 7) / 8 * 8), parts_(parts_for(largest)) {
    for (ring::Words& part : parts_) part.assign(padded_, parts_.size() == 1 ? 0 : kPartBound);
}

void RoundedIntegers::set(std::size_t at, std::span<const double> values, double scale) {
    std::uint64_t* lowest = parts_[0].data() + at;
    if (parts_.size() == 1) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            lowest[i] = static_cast<std::uint64_t>(rounded(values[i] * scale));
        }
        return;
    }
    std::vector<double> units(parts_.size());
    for (std::size_t t = 0; t < units.size(); ++t) {
        units[t] = std::ldexp(1.0, static_cast<int>(t) * kPartBits);
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        double rest = values[i] * scale;
        for (std::size_t t = parts_.size(); t-- > 1;) {
            const auto part = static_cast<std::int64_t>(rest * (1.0 / units[t]));
            parts_[t][at + i] = static_cast<std::uint64_t>(part) + kPartBound;
            rest -= static_cast<double>(part) * units[t];  // exact: these are its upper bits
        }
        lowest[i] = static_cast<std::uint64_t>(rounded(rest)) + kPartBound;
    }
}

void RoundedIntegers::residues(std::uint64_t* out, const ring::Kernel& kernel,
                               const ring::Modulus& m) const {
    if (parts_.size() == 1) {
        const auto* integers = reinterpret_cast<const std::int64_t*>(parts_[0].data());
        return kernel.reduce_integers(out, integers, padded_, m);
    }
    // From the highest part down, as many at once as the kernel combines: their words are up to
    // 2^49, what the ones above came to is below 2^50, and 2^53 is the limit of the sum.
    constexpr std::size_t kTogether = 14;
    static_assert(kTogether < ring::kMostCombined);
    const std::uint64_t unit = ring::reduce_any(kPartBound, m);
    for (std::size_t end = parts_.size(); end > 0;) {
        const std::size_t begin = end - std::min(end, kTogether);
        std::array<const std::uint64_t*, kTogether + 1> words{};
        std::array<std::uint64_t, kTogether + 1> factors{};
        std::uint64_t weight = 1;
        std::uint64_t excess = 0;  // of words over parts
        std::size_t terms = 0;
        for (std::size_t t = begin; t < end; ++t, ++terms) {
            words[terms] = parts_[t].data();
            factors[terms] = ring::multiply_mod(weight, m.two_52, m);
            weight = ring::multiply_mod(weight, unit, m);
            excess = ring::add_mod(excess, weight, m);
        }
        if (end < parts_.size()) {
            words[terms] = out;
            factors[terms++] = ring::multiply_mod(weight, m.two_52, m);
        }
        kernel.combine(out, words.data(), factors.data(), terms,
                       ring::reduce_once(m.value - excess, m.value), padded_, m);
        end = begin;
    }
}

}  // namespace strongroom::ckks
