// From residues modulo some primes of a ring to residues modulo its other primes, exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ring/kernel.hpp"
#include "ring/shoup_factor.hpp"

namespace strongroom::ring {

class Ring;

// Coefficients that are best converted at a time: the rows that they come from stay in the second
// cache, and the rows that they go to are written in long runs.
inline constexpr std::size_t kConversionBlock = 4096;

// Let D be the product of the source primes p_0 ... p_(k-1), an odd number, and x known modulo
// each. The centred remainder r of x, |r| < D / 2, is found through mixed-radix digits (Garner
// 1959) of x + (D - 1)/2:
//     r + (D - 1)/2 = d_(k-1) + d_(k-2) p_(k-1) + d_(k-3) p_(k-2) p_(k-1) + ...
// so that for a target prime one sum of products gives r. There is no approximation: r is what big
// integers would give.
class BaseConversion {
  public:
    // Source primes as indices into the ring's chain, ascending, at most kMostCombined of them, and
    // their sum at most kLargestCombined; std::invalid_argument otherwise.
    BaseConversion(const Ring& ring, std::vector<std::size_t> sources);

    const std::vector<std::size_t>& sources() const { return sources_; }

    // In place, from residues to digits; rows[i] belongs to source i; n words each.
    void to_digits(std::span<std::uint64_t* const> rows, std::size_t n) const;

    // out = r modulo prime `target`, no source, from digits.
    void to_residues(std::uint64_t* out, std::span<const std::uint64_t* const> digits,
                     std::size_t target, std::size_t n) const;

    // 1/D modulo prime `target`, no source.
    const ShoupFactor& inverse_product(std::size_t target) const {
        return targets_[target].inverse_product;
    }
    // D modulo any prime, and 2^52 D.
    std::uint64_t product(std::size_t target) const { return targets_[target].product; }
    std::uint64_t product_times_two_52(std::size_t target) const {
        return targets_[target].product_times_two_52;
    }

  private:
    // What a digit is a combination of: its residue, then the digits after it.
    struct Digit {
        std::vector<std::uint64_t> factors;  // times 2^52
        std::uint64_t offset = 0;
    };
    struct Target {
        std::vector<std::uint64_t> factors;  // weight of each digit, times 2^52
        std::uint64_t offset = 0;            // -(D - 1)/2
        std::uint64_t product = 0, product_times_two_52 = 0;
        ShoupFactor inverse_product;
    };

    const Ring& ring_;
    std::vector<std::size_t> sources_;
    std::vector<Digit> digits_;
    std::vector<Target> targets_;
};

}  // namespace strongroom::ring
