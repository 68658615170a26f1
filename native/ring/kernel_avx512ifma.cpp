// The AVX-512 IFMA kernel: eight lanes, 52-bit multiply-add.
//
// A product with a fixed factor w is Shoup's: with w' = floor(w 2^52 / q), the quotient estimate is
// the high half of x w', and x w - quotient q, taken modulo 2^52, is below 2q for any x < 2^52.
#include <immintrin.h>

#include "ring/generic_loops.hpp"
#include "ring/kernel.hpp"

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
    Vector q, two_q, zero, mask;
    explicit Constants(const Modulus& m)
        : q(broadcast(m.value)),
          two_q(broadcast(2 * m.value)),
          zero(_mm512_setzero_si512()),
          mask(broadcast((std::uint64_t{1} << 52) - 1)) {}
};

// w x mod q, below 2q; x < 2^52, w52 = floor(w 2^52 / q).
inline Vector multiply_lazy(Vector x, Vector w, Vector w52, const Constants& c) {
    const Vector quotient = _mm512_madd52hi_epu64(c.zero, x, w52);
    const Vector low = _mm512_madd52lo_epu64(c.zero, x, w);
    const Vector product = _mm512_madd52lo_epu64(c.zero, quotient, c.q);
    return _mm512_and_si512(_mm512_sub_epi64(low, product), c.mask);
}

inline void forward_butterfly(Vector& upper, Vector& lower, Vector w, Vector w52,
                              const Constants& c) {
    const Vector u = reduce_once(upper, c.two_q);
    const Vector v = multiply_lazy(lower, w, w52, c);
    upper = _mm512_add_epi64(u, v);
    lower = _mm512_add_epi64(_mm512_sub_epi64(u, v), c.two_q);
}

inline void inverse_butterfly(Vector& upper, Vector& lower, Vector w, Vector w52,
                              const Constants& c) {
    const Vector u = upper;
    const Vector v = lower;
    upper = reduce_once(_mm512_add_epi64(u, v), c.two_q);
    lower = multiply_lazy(_mm512_add_epi64(_mm512_sub_epi64(u, v), c.two_q), w, w52, c);
}

// The last three stages have butterflies inside a vector. Sixteen values sit in two vectors, and
// each stage gathers its upper halves into one and its lower halves into the other; these index
// tables move from one arrangement to the next (index 8 + i is lane i of the second vector).
struct Shuffles {
    Vector upper4, lower4;    // natural order <-> pairs at distance 4
    Vector upper2, lower2;    // distance 4 -> 2
    Vector upper1, lower1;    // distance 2 -> 1
    Vector first, second;     // distance 1 -> natural order
    Vector spread4, spread2;  // one root for four lanes, for two lanes
    Shuffles()
        : upper4(_mm512_setr_epi64(0, 1, 2, 3, 8, 9, 10, 11)),
          lower4(_mm512_setr_epi64(4, 5, 6, 7, 12, 13, 14, 15)),
          upper2(_mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13)),
          lower2(_mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15)),
          upper1(_mm512_setr_epi64(0, 8, 2, 10, 4, 12, 6, 14)),
          lower1(_mm512_setr_epi64(1, 9, 3, 11, 5, 13, 7, 15)),
          first(_mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11)),
          second(_mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15)),
          spread4(_mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1)),
          spread2(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3)) {}
};

inline void exchange(Vector& a, Vector& b, Vector to_a, Vector to_b) {
    const Vector new_a = _mm512_permutex2var_epi64(a, to_a, b);
    b = _mm512_permutex2var_epi64(a, to_b, b);
    a = new_a;
}

inline Vector two_roots(const std::uint64_t* p, Vector spread) {
    return _mm512_permutexvar_epi64(
        spread, _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

inline Vector four_roots(const std::uint64_t* p, Vector spread) {
    return _mm512_permutexvar_epi64(
        spread, _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}

// Shoup constants are stored for 64-bit words; the upper 52 bits are the constant for our lanes.
inline Vector to52(Vector shoup) {
    return _mm512_srli_epi64(shoup, 12);
}

void forward_ntt(std::uint64_t* x, const NttTable& table) {
    if (table.degree < 16) return kPortableKernel.forward_ntt(x, table);
    const Constants c(table.modulus);
    const Shuffles s;
    const std::size_t n = table.degree;
    const std::uint64_t* roots = table.roots.data();
    const std::uint64_t* shoup = table.roots_shoup.data();
    std::size_t m = 1;
    for (std::size_t t = n / 2; t >= 8; t /= 2, m *= 2) {
        for (std::size_t i = 0; i < m; ++i) {
            const Vector w = broadcast(roots[m + i]);
            const Vector w52 = broadcast(shoup[m + i] >> 12);
            std::uint64_t* upper = x + 2 * i * t;
            std::uint64_t* lower = upper + t;
            for (std::size_t j = 0; j < t; j += 8) {
                Vector u = load(upper + j);
                Vector v = load(lower + j);
                forward_butterfly(u, v, w, w52, c);
                store(upper + j, u);
                store(lower + j, v);
            }
        }
    }
    for (std::size_t i = 0; i < n / 16; ++i) {
        Vector a = load(x + 16 * i);
        Vector b = load(x + 16 * i + 8);
        exchange(a, b, s.upper4, s.lower4);
        forward_butterfly(a, b, two_roots(roots + n / 8 + 2 * i, s.spread4),
                          to52(two_roots(shoup + n / 8 + 2 * i, s.spread4)), c);
        exchange(a, b, s.upper2, s.lower2);
        forward_butterfly(a, b, four_roots(roots + n / 4 + 4 * i, s.spread2),
                          to52(four_roots(shoup + n / 4 + 4 * i, s.spread2)), c);
        exchange(a, b, s.upper1, s.lower1);
        forward_butterfly(a, b, load(roots + n / 2 + 8 * i), to52(load(shoup + n / 2 + 8 * i)), c);
        exchange(a, b, s.first, s.second);
        store(x + 16 * i, reduce_once(reduce_once(a, c.two_q), c.q));
        store(x + 16 * i + 8, reduce_once(reduce_once(b, c.two_q), c.q));
    }
}

void inverse_ntt(std::uint64_t* x, const NttTable& table) {
    if (table.degree < 16) return kPortableKernel.inverse_ntt(x, table);
    const Constants c(table.modulus);
    const Shuffles s;
    // The way back: natural order to distance 1 (even and odd lanes), then each shuffle undone.
    const Vector even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const Vector odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    const std::size_t n = table.degree;
    const std::uint64_t* roots = table.inverse_roots.data();
    const std::uint64_t* shoup = table.inverse_roots_shoup.data();
    for (std::size_t i = 0; i < n / 16; ++i) {
        Vector a = load(x + 16 * i);
        Vector b = load(x + 16 * i + 8);
        exchange(a, b, even, odd);
        inverse_butterfly(a, b, load(roots + n / 2 + 8 * i), to52(load(shoup + n / 2 + 8 * i)), c);
        exchange(a, b, s.upper1, s.lower1);  // its own inverse
        inverse_butterfly(a, b, four_roots(roots + n / 4 + 4 * i, s.spread2),
                          to52(four_roots(shoup + n / 4 + 4 * i, s.spread2)), c);
        exchange(a, b, s.upper2, s.lower2);  // its own inverse
        inverse_butterfly(a, b, two_roots(roots + n / 8 + 2 * i, s.spread4),
                          to52(two_roots(shoup + n / 8 + 2 * i, s.spread4)), c);
        exchange(a, b, s.upper4, s.lower4);  // its own inverse
        store(x + 16 * i, a);
        store(x + 16 * i + 8, b);
    }
    std::size_t t = 8;
    for (std::size_t m = n / 16; m >= 1; m /= 2, t *= 2) {
        for (std::size_t i = 0; i < m; ++i) {
            const Vector w = broadcast(roots[m + i]);
            const Vector w52 = broadcast(shoup[m + i] >> 12);
            std::uint64_t* upper = x + 2 * i * t;
            std::uint64_t* lower = upper + t;
            for (std::size_t j = 0; j < t; j += 8) {
                Vector u = load(upper + j);
                Vector v = load(lower + j);
                inverse_butterfly(u, v, w, w52, c);
                store(upper + j, u);
                store(lower + j, v);
            }
        }
    }
    const Vector w = broadcast(table.inverse_degree);
    const Vector w52 = broadcast(table.inverse_degree_shoup >> 12);
    for (std::size_t j = 0; j < n; j += 8) {
        store(x + j, reduce_once(multiply_lazy(load(x + j), w, w52, c), c.q));
    }
}

void add(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
         const Modulus& m) {
    const Vector q = broadcast(m.value);
    for (std::size_t i = 0; i < n; i += 8) {
        store(out + i, reduce_once(_mm512_add_epi64(load(a + i), load(b + i)), q));
    }
}

void subtract(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
              const Modulus& m) {
    const Vector q = broadcast(m.value);
    for (std::size_t i = 0; i < n; i += 8) {
        const Vector difference = _mm512_sub_epi64(load(a + i), load(b + i));
        store(out + i, _mm512_min_epu64(difference, _mm512_add_epi64(difference, q)));
    }
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

void multiply(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
              const Modulus& m) {
    const Barrett product(m);
    for (std::size_t i = 0; i < n; i += 8) store(out + i, product(load(a + i), load(b + i)));
}

void multiply_add(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                  const Modulus& m) {
    const Barrett product(m);
    for (std::size_t i = 0; i < n; i += 8) {
        const Vector sum = _mm512_add_epi64(load(out + i), product(load(a + i), load(b + i)));
        store(out + i, reduce_once(sum, product.c.q));
    }
}

// The two 52-bit halves of products are summed apart; a lane takes 2^12 of them before it could
// overflow.
std::uint64_t dot(const std::uint64_t* a, const std::uint64_t* b, std::size_t n, const Modulus& m) {
    constexpr std::size_t kRun = 8 * 4096;
    uint128 sum = 0;
    std::size_t i = 0;
    while (i + 8 <= n) {
        Vector low = _mm512_setzero_si512();
        Vector high = _mm512_setzero_si512();
        for (const std::size_t end = i + kRun; i + 8 <= n && i < end; i += 8) {
            const Vector x = load(a + i);
            const Vector y = load(b + i);
            low = _mm512_madd52lo_epu64(low, x, y);
            high = _mm512_madd52hi_epu64(high, x, y);
        }
        alignas(64) std::uint64_t lows[8];
        alignas(64) std::uint64_t highs[8];
        store(lows, low);
        store(highs, high);
        for (int lane = 0; lane < 8; ++lane) {
            sum += (static_cast<uint128>(highs[lane]) << 52) + lows[lane];
        }
    }
    for (; i < n; ++i) sum += static_cast<uint128>(a[i]) * b[i];
    return reduce_wide(sum, m);
}

void subtract_reduced_scale(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                            std::size_t n, std::uint64_t w, std::uint64_t w_shoup,
                            const Modulus& m) {
    const Constants c(m);
    const Vector word_barrett = broadcast(m.word_barrett);
    const Vector factor = broadcast(w);
    const Vector factor52 = broadcast(w_shoup >> 12);
    for (std::size_t i = 0; i < n; i += 8) {
        const Vector word = load(b + i);
        const Vector quotient = _mm512_madd52hi_epu64(c.zero, word, word_barrett);
        const Vector product = _mm512_madd52lo_epu64(c.zero, quotient, c.q);
        const Vector reduced =
            reduce_once(_mm512_and_si512(_mm512_sub_epi64(word, product), c.mask), c.q);
        const Vector difference =
            _mm512_add_epi64(_mm512_sub_epi64(load(a + i), reduced), c.q);  // below 2q
        store(out + i, reduce_once(multiply_lazy(difference, factor, factor52, c), c.q));
    }
}

std::size_t accept(std::uint64_t* out, std::size_t room, const std::uint32_t* words,
                   std::size_t count, const Modulus& m) {
    const Vector mask = broadcast((std::uint64_t{1} << m.bits) - 1);
    const Vector q = broadcast(m.value);
    const bool narrow = m.bits <= 32;
    const std::size_t step = narrow ? 8 : 16;
    std::size_t done = 0;
    std::size_t w = 0;
    for (; w + step <= count && done + 8 <= room; w += step) {
        const Vector x = narrow ? _mm512_cvtepu32_epi64(_mm256_loadu_si256(
                                      reinterpret_cast<const __m256i*>(words + w)))
                                : _mm512_loadu_si512(words + w);
        const Vector cut = _mm512_and_si512(x, mask);
        const __mmask8 below = _mm512_cmplt_epu64_mask(cut, q);
        // All eight are written; what is beyond the accepted ones is overwritten later.
        store(out + done, _mm512_maskz_compress_epi64(below, cut));
        done += static_cast<std::size_t>(__builtin_popcount(below));
    }
    return done + accept_generic(out + done, room - done, words + w, count - w, m);
}

}  // namespace

const Kernel kAvx512IfmaKernel = {
    .name = "avx512ifma",
    .forward_ntt = forward_ntt,
    .inverse_ntt = inverse_ntt,
    .add = add,
    .subtract = subtract,
    .multiply = multiply,
    .multiply_add = multiply_add,
    .dot = dot,
    .subtract_reduced_scale = subtract_reduced_scale,
    .chacha20 = chacha20_generic,
    .accept = accept,
    .gaussian = gaussian_generic,
};

}  // namespace strongroom::ring
