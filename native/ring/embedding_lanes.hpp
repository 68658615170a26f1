// Vectors of doubles, as wide as the instruction set that this is compiled for.
#pragma once

#include <array>
#include <cstddef>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace strongroom::ring {
namespace {
// Apart from a kernel's own loads and stores of words.
namespace embedding {

#if defined(__AVX512F__)
constexpr std::size_t kLanes = 8;
constexpr std::array<std::size_t, kLanes> kReversedLane = {0, 4, 2, 6, 1, 5, 3, 7};
#elif defined(__AVX2__)
constexpr std::size_t kLanes = 4;
constexpr std::array<std::size_t, kLanes> kReversedLane = {0, 2, 1, 3};
#else
constexpr std::size_t kLanes = 2;
constexpr std::array<std::size_t, kLanes> kReversedLane = {0, 1};
#endif

using Lanes [[gnu::vector_size(8 * kLanes)]] = double;

inline Lanes load(const double* p) {
    Lanes x;
    std::memcpy(&x, p, sizeof(x));
    return x;
}

inline void store(double* p, Lanes x) {
    std::memcpy(p, &x, sizeof(x));
}

inline Lanes broadcast(double x) {
    return Lanes{} + x;
}

// Lane j of vector i becomes lane i of vector j.
inline void transpose(std::array<Lanes, kLanes>& x) {
#if defined(__AVX512F__)
    // Pairs of lanes, then pairs of pairs, then halves.
    std::array<Lanes, 8> pairs, fours;
    for (std::size_t i = 0; i < 8; i += 2) {
        pairs[i] = _mm512_unpacklo_pd(x[i], x[i + 1]);
        pairs[i + 1] = _mm512_unpackhi_pd(x[i], x[i + 1]);
    }
    for (std::size_t i = 0; i < 8; i += 4) {
        for (std::size_t k = 0; k < 2; ++k) {
            // Lanes {k, k + 4} of four vectors, and {k + 2, k + 6}.
            fours[i + k] = _mm512_shuffle_f64x2(pairs[i + k], pairs[i + k + 2], 0x88);
            fours[i + k + 2] = _mm512_shuffle_f64x2(pairs[i + k], pairs[i + k + 2], 0xdd);
        }
    }
    for (std::size_t k = 0; k < 4; ++k) {
        x[k] = _mm512_shuffle_f64x2(fours[k], fours[k + 4], 0x88);
        x[k + 4] = _mm512_shuffle_f64x2(fours[k], fours[k + 4], 0xdd);
    }
#elif defined(__AVX2__)
    const Lanes low01 = _mm256_unpacklo_pd(x[0], x[1]);
    const Lanes high01 = _mm256_unpackhi_pd(x[0], x[1]);
    const Lanes low23 = _mm256_unpacklo_pd(x[2], x[3]);
    const Lanes high23 = _mm256_unpackhi_pd(x[2], x[3]);
    x[0] = _mm256_permute2f128_pd(low01, low23, 0x20);
    x[1] = _mm256_permute2f128_pd(high01, high23, 0x20);
    x[2] = _mm256_permute2f128_pd(low01, low23, 0x31);
    x[3] = _mm256_permute2f128_pd(high01, high23, 0x31);
#else
    x = {Lanes{x[0][0], x[1][0]}, Lanes{x[0][1], x[1][1]}};
#endif
}

}  // namespace embedding
}  // namespace
}  // namespace strongroom::ring
