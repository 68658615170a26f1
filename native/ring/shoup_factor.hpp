#pragma once

#include <cstdint>

#include "ring/modulus.hpp"

namespace strongroom::ring {

// A factor with its Shoup constant.
struct ShoupFactor {
    std::uint64_t value = 0, shoup = 0;

    ShoupFactor() = default;
    ShoupFactor(std::uint64_t factor, const Modulus& m)
        : value(factor), shoup(shoup_constant(factor, m)) {}
};

}  // namespace strongroom::ring
