// Constants of the negacyclic number-theoretic transform for one (ring degree, prime).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ring/modulus.hpp"

namespace strongroom::ring {

// The transform evaluates a polynomial of Z_q[X]/(X^N + 1) at the odd powers of psi, the smallest
// primitive 2N-th root of unity: output k is the value at psi^(2 bitreverse(k) + 1). Tables hold
// powers of psi in bit-reversed order (Longa, Naehrig 2016), each with its Shoup constant.
struct NttTable {
    std::size_t degree = 0;
    Modulus modulus;
    std::vector<std::uint64_t> roots, roots_shoup;
    std::vector<std::uint64_t> inverse_roots, inverse_roots_shoup;
    std::uint64_t inverse_degree = 0, inverse_degree_shoup = 0;
    // The root of the last inverse stage, divided by N.
    std::uint64_t last_inverse_root = 0, last_inverse_root_shoup = 0;

    // degree: a power of two, at least 8; q: a prime below 2^50, 1 modulo twice the degree.
    // Throws std::invalid_argument otherwise.
    NttTable(std::size_t degree, std::uint64_t q);
};

}  // namespace strongroom::ring
