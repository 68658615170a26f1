// Real numbers times a scale, rounded to integers, and the residues of these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "ring/kernel.hpp"
#include "ring/memory.hpp"

namespace strongroom::ckks {

// The largest |value scale|, or 0 of no values. Throws std::invalid_argument if the scale is not
// positive and finite, or a value or its product with the scale is not finite.
double largest_scaled(std::span<const double> values, double scale);

// round(value scale), halves away from zero. The product is rounded to a double before that; what
// follows is exact for doubles of any size.
class RoundedIntegers {
  public:
    // Room for `count` integers, all zero. `largest` is what largest_scaled says of the values.
    RoundedIntegers(std::size_t count, double largest);

    // Set the integers from `at` on.
    void set(std::size_t at, std::span<const double> values, double scale);

    // The count rounded up to a multiple of 8: how many words `residues` writes.
    std::size_t padded() const { return padded_; }

    // out = the integers modulo q; words beyond the count are zero.
    void residues(std::uint64_t* out, const ring::Kernel& kernel, const ring::Modulus& m) const;

  private:
    std::size_t padded_;
    // One signed word for each integer below 2^62 in size. Larger ones are the sum of
    // (parts[t] - 2^48) 2^(48 t), with words from 0 to 2^49.
    std::vector<ring::Words> parts_;
};

}  // namespace strongroom::ckks
