// Residues of signed words, for the instruction set that this is compiled for: three ways to the
// same numbers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ring/modulus.hpp"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace strongroom::ring {
namespace {

#if defined(__AVX512IFMA__)

// x + 2^63 is an unsigned word high 2^51 + low. Each half has its own quotient, by Barrett's
// constant and by Shoup's for 2^51 mod q; the remainders, below 2q and at most q, add up to less
// than 2^52. What takes 2^63 off again is added to low, which has a bit to spare.
inline void reduce_integers_generic(std::uint64_t* out, const std::int64_t* x, std::size_t n,
                                    const Modulus& m) {
    const auto all = [](std::uint64_t word) {
        return _mm512_set1_epi64(static_cast<long long>(word));
    };
    constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
    constexpr std::uint64_t kHalf = std::uint64_t{1} << 51;
    const std::uint64_t q = m.value;
    const __m512i zero = _mm512_setzero_si512();
    const __m512i top = all(kTop);
    const __m512i low_bits = all(kHalf - 1);
    const __m512i mask = all(kMask52);
    const __m512i shift = all(q - kTop % q);
    const __m512i barrett = all(m.word_barrett);
    const __m512i factor = all(kHalf % q);
    const __m512i shoup = all(shoup_constant(kHalf % q, m) >> 12);
    const __m512i one_q = all(q);
    const __m512i two_q = all(2 * q);
    const __m512i minus_q = all((std::uint64_t{1} << 52) - q);
    for (std::size_t i = 0; i < n; i += 8) {
        const __m512i u = _mm512_xor_si512(_mm512_loadu_si512(x + i), top);
        const __m512i low = _mm512_add_epi64(_mm512_and_si512(u, low_bits), shift);
        const __m512i high = _mm512_srli_epi64(u, 51);
        __m512i quotient = _mm512_madd52hi_epu64(zero, low, barrett);
        quotient = _mm512_madd52hi_epu64(quotient, high, shoup);
        __m512i r = _mm512_madd52lo_epu64(low, high, factor);
        r = _mm512_and_si512(_mm512_madd52lo_epu64(r, quotient, minus_q), mask);
        r = _mm512_min_epu64(r, _mm512_sub_epi64(r, two_q));
        _mm512_storeu_si512(out + i, _mm512_min_epu64(r, _mm512_sub_epi64(r, one_q)));
    }
}

#elif defined(__AVX2__) && defined(__FMA__)

// In doubles, as ring/avx2_arithmetic.hpp explains: x = high 2^32 + low, and high times the residue
// of 2^32 is `product` and what it was rounded by. The integer nearest to x / q is off by 1/2 and
// 2^-19; all sums are integers below 2^52, and so exact.
inline void reduce_integers_generic(std::uint64_t* out, const std::int64_t* x, std::size_t n,
                                    const Modulus& m) {
    const auto all = [](std::uint64_t word) {
        return _mm256_set1_epi64x(static_cast<long long>(word));
    };
    const double inverse_q = 1.0 / static_cast<double>(m.value);
    const __m256d q = _mm256_set1_pd(static_cast<double>(m.value));
    const __m256d inverse = _mm256_set1_pd(inverse_q);
    const __m256d factor = _mm256_set1_pd(static_cast<double>(m.two_32));
    const __m256d factor_over_q = _mm256_set1_pd(static_cast<double>(m.two_32) * inverse_q);
    const __m256d rounder = _mm256_set1_pd(0x1.8p52);
    // A word below 2^52 is the mantissa of 2^52 and itself.
    const __m256d units = _mm256_set1_pd(0x1p52);
    const __m256d signed_units = _mm256_set1_pd(0x1p52 + 0x1p31);
    const __m256i top = all(std::uint64_t{1} << 63);
    const __m256i low_bits = all(0xffffffff);
    for (std::size_t i = 0; i < n; i += 4) {
        const __m256i u =
            _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i)), top);
        const auto number = [&](__m256i word, __m256d shift) {
            return _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(word), units), shift);
        };
        const __m256d high = number(_mm256_srli_epi64(u, 32), signed_units);
        const __m256d low = number(_mm256_and_si256(u, low_bits), units);
        const __m256d product = _mm256_mul_pd(high, factor);
        const __m256d rest = _mm256_fmsub_pd(high, factor, product);
        const __m256d ratio = _mm256_fmadd_pd(high, factor_over_q, _mm256_mul_pd(low, inverse));
        const __m256d quotient = _mm256_sub_pd(_mm256_add_pd(ratio, rounder), rounder);
        const __m256d residue =
            _mm256_add_pd(_mm256_fnmadd_pd(quotient, q, product), _mm256_add_pd(rest, low));
        const __m256d negative = _mm256_cmp_pd(residue, _mm256_setzero_pd(), _CMP_LT_OQ);
        const __m256d positive = _mm256_add_pd(residue, _mm256_and_pd(negative, q));
        const __m256d bits = _mm256_xor_pd(_mm256_add_pd(positive, units), units);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm256_castpd_si256(bits));
    }
}

#else

// With u = x + 2^63, an unsigned word, and b = floor(2^64 / q), floor(u b / 2^64) is the quotient
// or one less; then 2^63 mod q goes off again.
inline void reduce_integers_generic(std::uint64_t* out, const std::int64_t* x, std::size_t n,
                                    const Modulus& m) {
    constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
    const std::uint64_t q = m.value;
    const std::uint64_t barrett = ~std::uint64_t{0} / q;
    const std::uint64_t shift = q - kTop % q;
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t u = static_cast<std::uint64_t>(x[i]) ^ kTop;
        const auto quotient = static_cast<std::uint64_t>((static_cast<uint128>(u) * barrett) >> 64);
        out[i] = reduce_once(reduce_once(u - quotient * q + shift, 2 * q), q);
    }
}

#endif

}  // namespace
}  // namespace strongroom::ring
