// X -> X^g on values of the transform: a permutation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace strongroom::ring {

// Value k of the transform is the polynomial at psi^(2 rev(k) + 1), so X -> X^g moves the value at
// exponent g e (mod 2N) to exponent e. With k = 8 B + i, the exponent is e(B) + (N/4) rev3(i), so
// the eight values of a block come from one block, in one of eight orders.
struct Automorphism {
    std::size_t degree = 0;
    std::uint64_t element = 0;
    // For block B of the result, 8 times the block that its values come from, plus their order.
    std::vector<std::uint32_t> source;
    // lanes[order][i]: which value of the source block goes to place i.
    std::array<std::array<std::uint64_t, 8>, 8> lanes{};

    // degree: a power of two, at least 8; element: odd and below 2N. Throws std::invalid_argument
    // otherwise.
    Automorphism(std::size_t degree, std::uint64_t element);
};

}  // namespace strongroom::ring
