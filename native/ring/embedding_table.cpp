#include "ring/embedding_table.hpp"

#include <cmath>
#include <numbers>

namespace strongroom::ring {

EmbeddingTable::EmbeddingTable(std::size_t degree)
    : slots(degree / 2), real(degree / 2), imaginary(degree / 2) {
    for (std::size_t length = 2; length <= slots; length *= 2) {
        std::size_t power = 1;
        for (std::size_t j = 0; j < length / 2; ++j) {
            const double angle = 2.0 * std::numbers::pi * static_cast<double>(power) /
                                 static_cast<double>(4 * length);
            real[length / 2 + j] = std::cos(angle);
            imaginary[length / 2 + j] = std::sin(angle);
            power = power * 5 % (4 * length);
        }
    }
}

}  // namespace strongroom::ring
