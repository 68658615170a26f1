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

// Which prime of the chain a row belongs to, of `limbs` data primes and all special ones.
inline std::size_t prime_of_row(const ring::Ring& ring, std::size_t limbs, std::size_t row) {
    return row < limbs ? row : row - limbs + ring.limbs();
}

// Bytes of such a polynomial, each row bit-packed and padded to a byte.
inline std::size_t packed_rows_bytes(const ring::Ring& ring, std::size_t limbs) {
    std::size_t total = 0;
    for (std::size_t row = 0; row < limbs + ring.special_limbs(); ++row) {
        total +=
            ring::packed_bytes(ring.degree(), ring.modulus(prime_of_row(ring, limbs, row)).bits);
    }
    return total;
}

}  // namespace strongroom
