// Arithmetic modulo a prime in four lanes of doubles, for the AVX2 kernel.
//
// Integers to 2^53 in size are exact as doubles, and a fused multiply-add gives both halves of a
// product exactly: with h = x w rounded, l = x w - h. If c is an integer close to x w / q, then
// h - c q is exact too, because it is an integer below 2^53, and h - c q + l is congruent to x w
// and below |x w / q - c| q (van der Hoeven, Lecerf, Quintin, "Modular SIMD arithmetic in
// Mathemagix", 2016). Values are signed: c is the nearest integer, so products lie around zero.
//
// Sums and products must be rounded as written, that is, to nearest and without contraction.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "ring/modulus.hpp"

namespace strongroom::ring {
namespace {

using Vector = __m256d;
using WordVector = __m256i;

// Doubles lie in the memory of words while a transform is under way.
inline WordVector load_words(const std::uint64_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline void store_words(std::uint64_t* p, WordVector v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
}
inline Vector load(const std::uint64_t* p) {
    return _mm256_castsi256_pd(load_words(p));
}
inline void store(std::uint64_t* p, Vector v) {
    store_words(p, _mm256_castpd_si256(v));
}
inline WordVector broadcast_word(std::uint64_t x) {
    return _mm256_set1_epi64x(static_cast<long long>(x));
}

// A word below 2^52 as a double: it is the mantissa of 2^52 + x.
inline Vector to_double(WordVector words) {
    const Vector shift = _mm256_set1_pd(0x1p52);
    return _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(words), shift), shift);
}

// Where x is negative, the first; elsewhere the second. Only the sign bits of x count.
inline WordVector if_negative(WordVector x, WordVector first, WordVector second) {
    return _mm256_castpd_si256(_mm256_blendv_pd(
        _mm256_castsi256_pd(second), _mm256_castsi256_pd(first), _mm256_castsi256_pd(x)));
}

// x mod q for words x < 2q.
inline WordVector reduce_word_once(WordVector x, WordVector q) {
    const WordVector difference = _mm256_sub_epi64(x, q);
    return if_negative(difference, x, difference);
}

// The four by four matrix with these rows, in place.
inline void transpose(Vector& r0, Vector& r1, Vector& r2, Vector& r3) {
    const Vector a = _mm256_unpacklo_pd(r0, r1);
    const Vector b = _mm256_unpackhi_pd(r0, r1);
    const Vector d = _mm256_unpacklo_pd(r2, r3);
    const Vector e = _mm256_unpackhi_pd(r2, r3);
    r0 = _mm256_permute2f128_pd(a, d, 0x20);
    r1 = _mm256_permute2f128_pd(b, e, 0x20);
    r2 = _mm256_permute2f128_pd(a, d, 0x31);
    r3 = _mm256_permute2f128_pd(b, e, 0x31);
}

// A fixed factor w with w / q.
struct Factor {
    Vector w, over_q;
};

struct PrimeField {
    Vector q, inverse;  // 1 / q, rounded
    WordVector q_words;

    explicit PrimeField(const Modulus& m)
        : q(_mm256_set1_pd(static_cast<double>(m.value))),
          inverse(_mm256_set1_pd(1.0 / static_cast<double>(m.value))),
          q_words(broadcast_word(m.value)) {}

    // The integer nearest to a b, for |a b| <= 2^51: the mantissa of 3 2^51 + a b ends at the
    // units.
    static Vector rounded(Vector a, Vector b) {
        const Vector rounder = _mm256_set1_pd(0x1.8p52);
        return _mm256_sub_pd(_mm256_fmadd_pd(a, b, rounder), rounder);
    }

    // x modulo q, at most (q + 1) / 2 in size, for |x| <= 2^53: the quotient is off by 1/2 and,
    // since 1 / q was rounded, 2^-53 of itself, hence the integer that remains by q / 2 + 1.
    Vector reduced(Vector x) const { return _mm256_fnmadd_pd(rounded(x, inverse), q, x); }

    // A word w < q as a factor. w / q is off by 2^-52 of itself, having been rounded twice.
    Factor factor(WordVector words) const {
        const Vector w = to_double(words);
        return {w, _mm256_mul_pd(w, inverse)};
    }

    // The same with w - q for w above q / 2, so that |w / q| <= 1/2.
    Factor centred_factor(WordVector words) const {
        Vector w = to_double(words);
        const Vector above = _mm256_cmp_pd(w, _mm256_mul_pd(q, _mm256_set1_pd(0.5)), _CMP_GT_OQ);
        w = _mm256_sub_pd(w, _mm256_and_pd(above, q));
        return {w, _mm256_mul_pd(w, inverse)};
    }

    // x w modulo q. With |x| <= B and |w / q| <= W, B W <= 2^51, it is at most
    // (1/2 + B W / 2^52) q in size.
    Vector product(Vector x, const Factor& f) const {
        const Vector high = _mm256_mul_pd(x, f.w);
        const Vector quotient = rounded(x, f.over_q);
        const Vector low = _mm256_fmsub_pd(x, f.w, high);
        return _mm256_add_pd(_mm256_fnmadd_pd(quotient, q, high), low);
    }

    // x y modulo q, for x and y below q in size, at most 3 q / 4 in size: `high` and 1 / q were
    // rounded, so the quotient, below 2^50, is off by 1/2 and 2^-52 of itself.
    Vector product(Vector x, Vector y) const {
        const Vector high = _mm256_mul_pd(x, y);
        const Vector quotient = rounded(high, inverse);
        const Vector low = _mm256_fmsub_pd(x, y, high);
        return _mm256_add_pd(_mm256_fnmadd_pd(quotient, q, high), low);
    }

    // The residue from 0 to q - 1 as a word, for |x| < q.
    WordVector to_words(Vector x) const {
        const Vector rounder = _mm256_set1_pd(0x1.8p52);
        const WordVector word = _mm256_sub_epi64(_mm256_castpd_si256(_mm256_add_pd(x, rounder)),
                                                 _mm256_castpd_si256(rounder));
        return if_negative(word, _mm256_add_epi64(word, q_words), word);
    }
};

}  // namespace
}  // namespace strongroom::ring
