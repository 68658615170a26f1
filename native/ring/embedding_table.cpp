#include "ring/embedding_table.hpp"

#include <cmath>
#include <numbers>

namespace strongroom::ring {

namespace {

struct Point {
    double real, imaginary;
};

// exp(2 pi i k / m) for a multiple m of 8: the angle is brought to an eighth of a turn while it is
// an integer, so that it is rounded once only and points that differ by quarters of a turn have the
// same parts up to sign.
Point on_circle(std::size_t k, std::size_t m) {
    const std::size_t quarter = m / 4;
    const std::size_t rest = k % quarter;
    const bool mirrored = rest > m / 8;
    const double angle = 2.0 * std::numbers::pi *
                         static_cast<double>(mirrored ? quarter - rest : rest) /
                         static_cast<double>(m);
    double real = std::cos(angle);
    double imaginary = std::sin(angle);
    if (mirrored) std::swap(real, imaginary);
    switch (k / quarter % 4) {
        case 0:
            return {real, imaginary};
        case 1:
            return {-imaginary, real};
        case 2:
            return {-real, -imaginary};
        default:
            return {imaginary, -real};
    }
}

}  // namespace

EmbeddingTable::EmbeddingTable(std::size_t degree)
    : slots(degree / 2), parts_(degree < 16 ? 16 : degree, 0.0) {
    for (std::size_t length = 2; length <= slots; length *= 2) {
        std::size_t power = 1;
        for (std::size_t j = 0; j < length / 2; ++j) {
            const std::size_t k = length / 2 + j;
            const Point point = on_circle(power, 4 * length);
            parts_[16 * (k / 8) + k % 8] = point.real;
            parts_[16 * (k / 8) + k % 8 + 8] = point.imaginary;
            power = power * 5 % (4 * length);
        }
    }
}

}  // namespace strongroom::ring
