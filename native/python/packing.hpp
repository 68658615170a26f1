// Between bytes and words, at the border of the core, and between its threads and Python's.
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

inline nanobind::bytes to_bytes(std::span<const std::uint8_t> bytes) {
    return nanobind::bytes(bytes.data(), bytes.size());
}

// The result of a function that other threads of Python don't wait for.
template <class Function>
auto unlocked(Function function) {
    nanobind::gil_scoped_release release;
    return function();
}

}  // namespace strongroom
