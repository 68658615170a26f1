// The butterflies of the canonical embedding, compiled into every kernel with that kernel's
// instruction set (see generic_loops.hpp). Without contraction to fused multiply-adds, so that all
// kernels round alike.
#pragma once

#include <cstddef>
#include <utility>

#include "ring/embedding_table.hpp"

namespace strongroom::ring {
namespace {

inline void bit_reverse_order(double* real, double* imaginary, std::size_t n) {
    for (std::size_t i = 1, j = 0; i < n; ++i) {
        std::size_t bit = n >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i < j) {
            std::swap(real[i], real[j]);
            std::swap(imaginary[i], imaginary[j]);
        }
    }
}

inline void coefficients_to_slots_generic(double* real, double* imaginary,
                                          const EmbeddingTable& table) {
    const std::size_t n = table.slots;
    bit_reverse_order(real, imaginary, n);
    for (std::size_t length = 2; length <= n; length *= 2) {
        const std::size_t half = length / 2;
        const double* wr = table.real.data() + half;
        const double* wi = table.imaginary.data() + half;
        for (std::size_t block = 0; block < n; block += length) {
            double* xr = real + block;
            double* xi = imaginary + block;
            for (std::size_t j = 0; j < half; ++j) {
                const double vr = xr[half + j] * wr[j] - xi[half + j] * wi[j];
                const double vi = xr[half + j] * wi[j] + xi[half + j] * wr[j];
                xr[half + j] = xr[j] - vr;
                xi[half + j] = xi[j] - vi;
                xr[j] += vr;
                xi[j] += vi;
            }
        }
    }
}

inline void slots_to_coefficients_generic(double* real, double* imaginary,
                                          const EmbeddingTable& table) {
    const std::size_t n = table.slots;
    for (std::size_t length = n; length >= 2; length /= 2) {
        const std::size_t half = length / 2;
        const double* wr = table.real.data() + half;
        const double* wi = table.imaginary.data() + half;
        for (std::size_t block = 0; block < n; block += length) {
            double* xr = real + block;
            double* xi = imaginary + block;
            for (std::size_t j = 0; j < half; ++j) {
                const double dr = xr[j] - xr[half + j];
                const double di = xi[j] - xi[half + j];
                xr[j] += xr[half + j];
                xi[j] += xi[half + j];
                xr[half + j] = dr * wr[j] + di * wi[j];
                xi[half + j] = di * wr[j] - dr * wi[j];
            }
        }
    }
    bit_reverse_order(real, imaginary, n);
    for (std::size_t j = 0; j < n; ++j) {
        real[j] /= static_cast<double>(n);
        imaginary[j] /= static_cast<double>(n);
    }
}

}  // namespace
}  // namespace strongroom::ring
