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
    : padded_((count + 7) / 8 * 8), parts_(parts_for(largest), Words(padded_, 0)) {}

void RoundedIntegers::set(std::size_t at, std::span<const double> values, double scale) {
    if (parts_.size() == 1) {
        std::int64_t* out = parts_[0].data() + at;
        for (std::size_t i = 0; i < values.size(); ++i) out[i] = rounded(values[i] * scale);
        return;
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
        double rest = values[i] * scale;
        for (std::size_t t = parts_.size(); t-- > 1;) {
            const double unit = std::ldexp(1.0, static_cast<int>(t) * kPartBits);
            const auto part = static_cast<std::int64_t>(rest / unit);
            parts_[t][at + i] = part;
            rest -= static_cast<double>(part) * unit;  // exact: it has the lower bits of `rest`
        }
        parts_[0][at + i] = rounded(rest);
    }
}

void RoundedIntegers::residues(std::uint64_t* out, const ring::Kernel& kernel,
                               const ring::Modulus& m) const {
    kernel.reduce_integers(out, parts_.back().data(), padded_, m);
    if (parts_.size() == 1) return;
    // Horner's rule: 2^48 times what is above, plus the next part. That one is made positive by
    // 2^48 more, which the offset takes off.
    const std::uint64_t unit = ring::reduce_any(kPartBound, m);
    const std::array factors = {ring::multiply_mod(unit, m.two_52, m), m.two_52};
    const std::uint64_t offset = ring::reduce_once(m.value - unit, m.value);
    ring::Words part(padded_);
    for (std::size_t t = parts_.size() - 1; t-- > 0;) {
        for (std::size_t i = 0; i < padded_; ++i) {
            part[i] = static_cast<std::uint64_t>(parts_[t][i]) + kPartBound;
        }
        const std::array<const std::uint64_t*, 2> words = {out, part.data()};
        kernel.combine(out, words.data(), factors.data(), 2, offset, padded_, m);
    }
}

}  // namespace strongroom::ckks
