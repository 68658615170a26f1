// Primes for a ring degree, found by search so that no test depends on a list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "check.hpp"
#include "ring/modulus.hpp"

namespace strongroom::tests {

// The `count` largest primes of `bits` bits that are 1 modulo 2N; fewer where there are fewer.
inline std::vector<std::uint64_t> primes_below(std::size_t degree, unsigned bits,
                                               std::size_t count) {
    const std::uint64_t step = 2 * degree;
    std::vector<std::uint64_t> primes;
    const std::uint64_t top = ((std::uint64_t{1} << bits) - 2) / step * step + 1;
    for (std::uint64_t q = top; q >> (bits - 1) == 1 && primes.size() < count; q -= step) {
        if (ring::is_prime(q)) primes.push_back(q);
    }
    return primes;
}

inline std::vector<std::uint64_t> chain(std::size_t degree, const std::vector<unsigned>& bits) {
    std::vector<std::uint64_t> primes;
    for (const unsigned b : bits) {
        for (const std::uint64_t q : primes_below(degree, b, bits.size() + 1)) {
            bool used = false;
            for (const std::uint64_t other : primes) used |= other == q;
            if (used) continue;
            primes.push_back(q);
            break;
        }
    }
    CHECK(primes.size() == bits.size());
    return primes;
}

}  // namespace strongroom::tests
