// Residues back to real numbers (Chinese remainders).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ring/ring.hpp"

namespace strongroom::ckks {

// Let Q be the product of some primes q_0 ... q_(n-1). The integer x, |x| < Q/2, with given
// residues is found through the mixed-radix digits (Garner 1959) of x + (Q - 1)/2:
//     x + (Q - 1)/2 = d_(n-1) + d_(n-2) q_(n-1) + d_(n-3) q_(n-2) q_(n-1) + ...
// Those of (Q - 1)/2 are the (q_i - 1)/2, so x is the sum of (d_i - (q_i - 1)/2) times the same
// weights: digits around zero, of which all lower ones together are less than half a unit of the
// next. So the sign is that of the highest digit that is not zero, a sum in doubles from the lowest
// up loses a few units in the last place and no more, and nothing depends on how large x is.
//
// In constant time.
class Composition {
  public:
    // Modulo the first `limbs` data primes; results are divided by the scale.
    Composition(const ring::Ring& ring, std::size_t limbs, double scale);

    // out[k] = x_k / scale for k below `count`, a multiple of 8; residues[i][k] belongs to prime i.
    // Throws std::invalid_argument for another number of primes.
    void operator()(double* out, std::span<const std::uint64_t* const> residues,
                    std::size_t count) const;

  private:
    // A digit is a sum of constants times its residue and all lower digits. As many words as the
    // kernel allows are combined at once: such a part of the sum takes digits `first` to `last` -
    // 1, and its first word is the residue, or what the parts before it came to.
    struct PartialSum {
        std::size_t first, last;
        std::vector<std::uint64_t> factors;
        std::uint64_t offset;
    };
    struct Digit {
        std::vector<PartialSum> sum;
        double shift;   // 2^52 + (q - 1)/2
        double weight;  // divided by the scale
    };

    // Digits of `count` integers, at most a block, from their residues; row after row of a block.
    void to_digits(std::uint64_t* digits, std::span<const std::uint64_t* const> residues,
                   std::size_t at, std::size_t count) const;

    const ring::Ring& ring_;
    std::vector<Digit> digits_;
};

}  // namespace strongroom::ckks
