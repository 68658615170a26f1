// Between bytes and words, at the border of the core.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>

#include "python/arrays.hpp"
#include "ring/bitpack.hpp"
#include "ring/random.hpp"

namespace strongroom {

struct UnpackError : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

inline const char* describe(ring::UnpackFault fault) {
    switch (fault) {
        case ring::UnpackFault::kLength:
            return "length";
        case ring::UnpackFault::kRange:
            return "range";
        case ring::UnpackFault::kPadding:
            return "padding";
    }
    return "unknown";
}

inline ring::Seed to_seed(std::span<const std::uint8_t> bytes) {
    ring::Seed seed;
    if (bytes.size() != seed.size()) throw UnpackError("length");
    std::memcpy(seed.data(), bytes.data(), seed.size());
    return seed;
}

}  // namespace strongroom
