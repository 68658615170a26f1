// Constants of the canonical embedding for one ring degree.
#pragma once

#include <cstddef>
#include <vector>

#include "ring/memory.hpp"

namespace strongroom::ring {

// The twiddle of butterfly j in a block of `length` values is exp(2 pi i 5^j / (4 length)), number
// length / 2 + j, for each power of two up to N/2 (Chen, Han, "Homomorphic lower digits removal and
// improved FHE bootstrapping", 2018).
//
// The powers of five go round: for a length of at least 8, twiddle j + length / 4 is -i times
// twiddle j, here bit for bit.
struct EmbeddingTable {
    std::size_t slots = 0;

    // degree: a power of two, at least 8.
    explicit EmbeddingTable(std::size_t degree);

    // Parts of twiddle k. Those of eight neighbours from a multiple of eight on are neighbours.
    const double* real(std::size_t k) const { return parts_.data() + 16 * (k / 8) + k % 8; }
    const double* imaginary(std::size_t k) const { return real(k) + 8; }

  private:
    std::vector<double, Allocator<double, false>> parts_;
};

}  // namespace strongroom::ring
