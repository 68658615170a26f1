// Eight words modulo a prime, by 52-bit multiply-add; for the AVX-512 IFMA kernel alone, in an
// unnamed namespace as generic_loops.hpp is.
//
// A product with a fixed factor w is Shoup's: with w' = floor(w 2^52 / q), the quotient estimate is
// the high half of x w', and x w - quotient q, taken modulo 2^52, is below 2q for any x < 2^52.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "ring/modulus.hpp"

namespace strongroom::ring {
namespace {

using Vector = __m512i;

inline Vector load(const std::uint64_t* p) {
    return _mm512_loadu_si512(p);
}
inline void store(std::uint64_t* p, Vector v) {
    _mm512_storeu_si512(p, v);
}
inline Vector broadcast(std::uint64_t x) {
    return _mm512_set1_epi64(static_cast<long long>(x));
}

// x mod q for x < 2q: the wrapped difference is the larger word exactly when x < q.
inline Vector reduce_once(Vector x, Vector q) {
    return _mm512_min_epu64(x, _mm512_sub_epi64(x, q));
}

struct Constants {
    Vector q, minus_q, below_zero, two_q, zero, mask;
    explicit Constants(const Modulus& m)
        : q(broadcast(m.value)),
          minus_q(broadcast((std::uint64_t{1} << 52) - m.value)),
          below_zero(broadcast(0 - m.value)),
          two_q(broadcast(2 * m.value)),
          zero(_mm512_setzero_si512()),
          mask(broadcast((std::uint64_t{1} << 52) - 1)) {}
};

// w x mod q, below 2q; x < 2^52, w52 = floor(w 2^52 / q).
inline Vector multiply_lazy(Vector x, Vector w, Vector w52, const Constants& c) {
    const Vector quotient = _mm512_madd52hi_epu64(c.zero, x, w52);
    const Vector low = _mm512_madd52lo_epu64(c.zero, x, w);
    return _mm512_and_si512(_mm512_madd52lo_epu64(low, quotient, c.minus_q), c.mask);
}

// Shoup constants are stored for 64-bit words; the upper 52 bits are the constant for our lanes.
inline Vector to52(Vector shoup) {
    return _mm512_srli_epi64(shoup, 12);
}

// Barrett reduction as in ring/modulus.hpp, with the product in two 52-bit halves.
struct Barrett {
    Constants c;
    Vector barrett;
    __m128i shift_low, shift_high;
    explicit Barrett(const Modulus& m)
        : c(m),
          barrett(broadcast(m.barrett)),
          shift_low(_mm_cvtsi32_si128(static_cast<int>(m.bits - 2))),
          shift_high(_mm_cvtsi32_si128(static_cast<int>(52 - (m.bits - 2)))) {}

    Vector operator()(Vector a, Vector b) const {
        const Vector low = _mm512_madd52lo_epu64(c.zero, a, b);
        const Vector high = _mm512_madd52hi_epu64(c.zero, a, b);
        const Vector c1 =
            _mm512_or_si512(_mm512_sll_epi64(high, shift_high), _mm512_srl_epi64(low, shift_low));
        const Vector quotient = _mm512_madd52hi_epu64(c.zero, c1, barrett);
        const Vector product = _mm512_madd52lo_epu64(c.zero, quotient, c.q);
        const Vector r = _mm512_and_si512(_mm512_sub_epi64(low, product), c.mask);
        return reduce_once(reduce_once(r, c.two_q), c.q);
    }
};

// Montgomery reduction of a sum of products, given as sums of their halves: high 2^52 + low. The
// result is congruent to it divided by 2^52 and below high + q + 2^12.
struct Montgomery {
    Vector q, factor, zero;
    explicit Montgomery(const Modulus& m)
        : q(broadcast(m.value)), factor(broadcast(m.montgomery)), zero(_mm512_setzero_si512()) {}

    Vector operator()(Vector low, Vector high) const {
        const Vector multiple = _mm512_madd52lo_epu64(zero, low, factor);
        const Vector carry = _mm512_srli_epi64(_mm512_madd52lo_epu64(low, multiple, q), 52);
        return _mm512_add_epi64(_mm512_madd52hi_epu64(high, multiple, q), carry);
    }
};

}  // namespace
}  // namespace strongroom::ring
