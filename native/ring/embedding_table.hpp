// Constants of the canonical embedding for one ring degree.
#pragma once

#include <cstddef>
#include <vector>

namespace strongroom::ring {

// The twiddle of butterfly j in a block of `length` values is exp(2 pi i 5^j / (4 length)), at
// place length / 2 + j, for each power of two up to N/2 (Chen, Han, "Homomorphic lower digits
// removal and improved FHE bootstrapping", 2018).
struct EmbeddingTable {
    std::size_t slots = 0;
    std::vector<double> real, imaginary;

    // degree: a power of two, at least 8.
    explicit EmbeddingTable(std::size_t degree);
};

}  // namespace strongroom::ring
