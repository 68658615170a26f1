#include "ckks/embedding.hpp"

#include <cmath>
#include <cstddef>
#include <numbers>
#include <utility>

namespace strongroom::ckks {

namespace {

void bit_reverse(std::vector<Complex>& values) {
    const std::size_t n = values.size();
    for (std::size_t i = 1, j = 0; i < n; ++i) {
        std::size_t bit = n >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) std::swap(values[i], values[j]);
    }
}

// exp(2 pi i k / m)
Complex root(std::size_t k, std::size_t m) {
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(k) / static_cast<double>(m);
    return {std::cos(angle), std::sin(angle)};
}

// The twiddle of butterfly j in a block of length `length`: exp(2 pi i 5^j / (4 length)), or its
// conjugate.
std::vector<Complex> twiddles(std::size_t length, bool conjugate) {
    std::vector<Complex> result(length / 2);
    std::size_t power = 1;
    for (Complex& w : result) {
        w = root(power, 4 * length);
        if (conjugate) w = std::conj(w);
        power = power * 5 % (4 * length);
    }
    return result;
}

}  // namespace

void coefficients_to_slots(std::vector<Complex>& values) {
    bit_reverse(values);
    const std::size_t n = values.size();
    for (std::size_t length = 2; length <= n; length *= 2) {
        const std::vector<Complex> w = twiddles(length, false);
        for (std::size_t block = 0; block < n; block += length) {
            for (std::size_t j = 0; j < length / 2; ++j) {
                const Complex u = values[block + j];
                const Complex v = values[block + j + length / 2] * w[j];
                values[block + j] = u + v;
                values[block + j + length / 2] = u - v;
            }
        }
    }
}

void slots_to_coefficients(std::vector<Complex>& values) {
    const std::size_t n = values.size();
    for (std::size_t length = n; length >= 2; length /= 2) {
        const std::vector<Complex> w = twiddles(length, true);
        for (std::size_t block = 0; block < n; block += length) {
            for (std::size_t j = 0; j < length / 2; ++j) {
                const Complex u = values[block + j];
                const Complex v = values[block + j + length / 2];
                values[block + j] = u + v;
                values[block + j + length / 2] = (u - v) * w[j];
            }
        }
    }
    bit_reverse(values);
    for (Complex& value : values) value /= static_cast<double>(n);
}

}  // namespace strongroom::ckks
