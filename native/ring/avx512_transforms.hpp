// The transforms of the AVX-512 IFMA kernel.
#pragma once

#include "ring/avx512_arithmetic.hpp"
#include "ring/ntt_table.hpp"

namespace strongroom::ring {
namespace {

// The last three stages have butterflies inside a vector. Sixteen values sit in two vectors, and
// each stage gathers its upper halves into one and its lower halves into the other; these index
// tables move from one arrangement to the next (index 8 + i is lane i of the second vector).
struct Shuffles {
    Vector upper4, lower4;  // natural order <-> pairs at distance 4
    Vector upper2, lower2;  // distance 4 -> 2
    Vector first, second;   // distance 1 -> natural order
    Vector spread2;         // one root for two lanes
    Shuffles()
        : upper4(_mm512_setr_epi64(0, 1, 2, 3, 8, 9, 10, 11)),
          lower4(_mm512_setr_epi64(4, 5, 6, 7, 12, 13, 14, 15)),
          upper2(_mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13)),
          lower2(_mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15)),
          first(_mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11)),
          second(_mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15)),
          spread2(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3)) {}
};

inline void exchange(Vector& a, Vector& b, Vector to_a, Vector to_b) {
    const Vector new_a = _mm512_permutex2var_epi64(a, to_a, b);
    b = _mm512_permutex2var_epi64(a, to_b, b);
    a = new_a;
}

// Distance 2 -> 1, by instructions that run twice as often as general shuffles.
inline void exchange_neighbours(Vector& a, Vector& b) {
    const Vector new_a = _mm512_unpacklo_epi64(a, b);
    b = _mm512_unpackhi_epi64(a, b);
    a = new_a;
}

inline Vector two_roots(const std::uint64_t* p) {
    return _mm512_mask_set1_epi64(broadcast(p[0]), 0xf0, static_cast<long long>(p[1]));
}

inline Vector four_roots(const std::uint64_t* p, Vector spread) {
    return _mm512_permutexvar_epi64(
        spread, _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}

// Transforms go through memory in passes of two stages each (radix 4), first over the whole vector,
// and once a block fits the first cache, block after block to the end. A block is known by the
// index r of the root that splits it; its halves are split by roots 2r and 2r + 1.
//
// Values may grow to 2^52. With q below 2^46 (kLazy) the forward transform never needs to reduce
// between stages: beginning between 20q and 21q, each of at most 17 stages adds or subtracts less
// than q. Products are not cut to 52 bits then either: multiply-adds read the lowest 52 bits only,
// so what is above them is cut once, at the end. Larger primes reduce every upper half to 2q
// (Harvey).
constexpr std::size_t kCachedBlock = 2048;
constexpr std::uint64_t kHeadroom = 20;
constexpr std::uint64_t kLazyBound = std::uint64_t{1} << 46;

struct Root {
    Vector w, w52;
    Root(const std::uint64_t* roots, const std::uint64_t* shoup, std::size_t i)
        : w(broadcast(roots[i])), w52(broadcast(shoup[i] >> 12)) {}
    Root(Vector its_w, Vector shoup) : w(its_w), w52(to52(shoup)) {}
};

// multiply_lazy, with any bits above the lowest 52 of argument and result.
inline Vector multiply_uncut(Vector x, Vector w, Vector w52, const Constants& c) {
    const Vector quotient = _mm512_madd52hi_epu64(c.zero, x, w52);
    return _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(c.zero, x, w), quotient, c.minus_q);
}

// Lazily, with the product v centred: u + v and u - v need no multiple of q to stay positive, if u
// is above q. The first stage adds kHeadroom q for all stages.
template <bool kLazy>
inline void forward_butterfly(Vector& upper, Vector& lower, const Root& root, const Constants& c) {
    if constexpr (kLazy) {
        const Vector quotient = _mm512_madd52hi_epu64(c.zero, lower, root.w52);
        const Vector product = _mm512_madd52lo_epu64(c.below_zero, lower, root.w);
        const Vector v = _mm512_madd52lo_epu64(product, quotient, c.minus_q);  // from -q to q
        lower = _mm512_sub_epi64(upper, v);
        upper = _mm512_add_epi64(upper, v);
    } else {
        const Vector u = reduce_once(upper, c.two_q);
        const Vector v = multiply_lazy(lower, root.w, root.w52, c);
        upper = _mm512_add_epi64(u, v);
        lower = _mm512_sub_epi64(_mm512_add_epi64(u, c.two_q), v);
    }
}

// Two stages on `blocks` neighbouring blocks of `length` values, of which the first has root `r`.
template <bool kLazy, bool kFirst>
void forward_pass(std::uint64_t* x, std::size_t length, std::size_t r, std::size_t blocks,
                  const NttTable& table) {
    const Constants c(table.modulus);
    const Vector headroom = broadcast(kHeadroom * table.modulus.value);
    const std::uint64_t* roots = table.roots.data();
    const std::uint64_t* shoup = table.roots_shoup.data();
    const std::size_t quarter = length / 4;
    for (std::size_t end = r + blocks; r < end; ++r, x += length) {
        const Root w1(roots, shoup, r);
        const Root w2(roots, shoup, 2 * r);
        const Root w3(roots, shoup, 2 * r + 1);
        for (std::size_t j = 0; j < quarter; j += 8) {
            Vector a = load(x + j);
            Vector b = load(x + quarter + j);
            Vector d = load(x + 2 * quarter + j);
            Vector e = load(x + 3 * quarter + j);
            if constexpr (kLazy && kFirst) {
                a = _mm512_add_epi64(a, headroom);
                b = _mm512_add_epi64(b, headroom);
            }
            forward_butterfly<kLazy>(a, d, w1, c);
            forward_butterfly<kLazy>(b, e, w1, c);
            forward_butterfly<kLazy>(a, b, w2, c);
            forward_butterfly<kLazy>(d, e, w3, c);
            store(x + j, a);
            store(x + quarter + j, b);
            store(x + 2 * quarter + j, d);
            store(x + 3 * quarter + j, e);
        }
    }
}

template <bool kLazy>
inline Vector fully_reduced(Vector x, const Constants& c, Vector word_barrett) {
    if constexpr (kLazy) {
        const Vector quotient = _mm512_madd52hi_epu64(c.zero, x, word_barrett);
        const Vector r = _mm512_madd52lo_epu64(x, quotient, c.minus_q);
        return reduce_once(_mm512_and_si512(r, c.mask), c.q);
    } else {
        return reduce_once(reduce_once(x, c.two_q), c.q);
    }
}

// Two times sixteen neighbouring values, each in two vectors. The last stages have long chains of
// dependent instructions; two chains side by side keep the processor busy.
struct Pairs {
    Vector a0, b0, a1, b1;

    void exchange_all(Vector to_a, Vector to_b) {
        exchange(a0, b0, to_a, to_b);
        exchange(a1, b1, to_a, to_b);
    }
    void exchange_all_neighbours() {
        exchange_neighbours(a0, b0);
        exchange_neighbours(a1, b1);
    }
};

template <bool kLazy>
inline void forward_butterflies(Pairs& v, const Root& root0, const Root& root1,
                                const Constants& c) {
    forward_butterfly<kLazy>(v.a0, v.b0, root0, c);
    forward_butterfly<kLazy>(v.a1, v.b1, root1, c);
}

// The roots of the last three stages for sixteen values, the i-th of the ring.
struct LastRoots {
    const std::uint64_t* roots;
    const std::uint64_t* shoup;
    std::size_t n;

    Root distance4(std::size_t i) const {
        return {two_roots(roots + n / 8 + 2 * i), two_roots(shoup + n / 8 + 2 * i)};
    }
    Root distance2(std::size_t i, Vector spread) const {
        return {four_roots(roots + n / 4 + 4 * i, spread),
                four_roots(shoup + n / 4 + 4 * i, spread)};
    }
    Root distance1(std::size_t i) const {
        return {load(roots + n / 2 + 8 * i), load(shoup + n / 2 + 8 * i)};
    }
};

// The stages at distance 4, 2 and 1 of the i-th and the next sixteen values; then full reduction.
template <bool kLazy>
inline void forward_last_stages(Pairs v, std::uint64_t* out, std::size_t i, const LastRoots& roots,
                                const Shuffles& s, const Constants& c, Vector word_barrett) {
    v.exchange_all(s.upper4, s.lower4);
    forward_butterflies<kLazy>(v, roots.distance4(i), roots.distance4(i + 1), c);
    v.exchange_all(s.upper2, s.lower2);
    forward_butterflies<kLazy>(v, roots.distance2(i, s.spread2), roots.distance2(i + 1, s.spread2),
                               c);
    v.exchange_all_neighbours();
    forward_butterflies<kLazy>(v, roots.distance1(i), roots.distance1(i + 1), c);
    v.a0 = fully_reduced<kLazy>(v.a0, c, word_barrett);
    v.b0 = fully_reduced<kLazy>(v.b0, c, word_barrett);
    v.a1 = fully_reduced<kLazy>(v.a1, c, word_barrett);
    v.b1 = fully_reduced<kLazy>(v.b1, c, word_barrett);
    v.exchange_all(s.first, s.second);
    store(out, v.a0);
    store(out + 8, v.b0);
    store(out + 16, v.a1);
    store(out + 24, v.b1);
}

// All stages of one block of `length` values with root `r`; the block fits the first cache.
template <bool kLazy>
void forward_block(std::uint64_t* x, std::size_t length, std::size_t r, const NttTable& table) {
    const Constants c(table.modulus);
    const Shuffles s;
    const Vector word_barrett = broadcast(table.modulus.word_barrett);
    const std::uint64_t* roots = table.roots.data();
    const std::uint64_t* shoup = table.roots_shoup.data();
    std::size_t part = length;
    for (std::size_t blocks = 1; part >= 64; part /= 4, r *= 4, blocks *= 4) {
        if (r == 1) {
            forward_pass<kLazy, true>(x, part, r, blocks, table);
        } else {
            forward_pass<kLazy, false>(x, part, r, blocks, table);
        }
    }
    const LastRoots last{roots, shoup, table.degree};
    std::size_t i = (r - table.degree / part) * (part / 16);
    for (const std::uint64_t* end = x + length; x < end; x += 32, i += 2) {
        Pairs v{load(x), load(x + 8), load(x + 16), load(x + 24)};
        if (part == 32) {
            const Root w1(roots, shoup, r);
            forward_butterfly<kLazy>(v.a0, v.a1, w1, c);
            forward_butterfly<kLazy>(v.b0, v.b1, w1, c);
            forward_butterflies<kLazy>(v, Root(roots, shoup, 2 * r), Root(roots, shoup, 2 * r + 1),
                                       c);
            ++r;
        } else {
            forward_butterflies<kLazy>(v, Root(roots, shoup, r), Root(roots, shoup, r + 1), c);
            r += 2;
        }
        forward_last_stages<kLazy>(v, x, i, last, s, c, word_barrett);
    }
}

template <bool kLazy>
void forward_transform(std::uint64_t* x, const NttTable& table) {
    const std::size_t n = table.degree;
    std::size_t length = n;
    for (; length > kCachedBlock; length /= 4) {
        if (length == n) {
            forward_pass<kLazy, true>(x, length, 1, 1, table);
        } else {
            forward_pass<kLazy, false>(x, length, n / length, n / length, table);
        }
    }
    for (std::size_t block = 0; block < n / length; ++block) {
        forward_block<kLazy>(x + block * length, length, n / length + block, table);
    }
}

// Inverse butterflies on values below `bound` (a multiple of q): upper halves come out below twice
// that, lower halves below 2q; uncut if kLazy.
template <bool kLazy>
inline void inverse_butterfly(Vector& upper, Vector& lower, const Root& root, Vector bound,
                              const Constants& c) {
    const Vector u = upper;
    const Vector v = lower;
    const Vector difference = _mm512_sub_epi64(_mm512_add_epi64(u, bound), v);
    upper = _mm512_add_epi64(u, v);
    if constexpr (kLazy) {
        lower = multiply_uncut(difference, root.w, root.w52, c);
    } else {
        lower = multiply_lazy(difference, root.w, root.w52, c);
    }
}

// Two stages, the reverse of forward_pass. Values are below 4q before and after if kLazy, below 2q
// otherwise. `one` is the factor 1 with its constant: a product with it reduces.
template <bool kLazy>
inline void inverse_two_stages(Vector& a, Vector& b, Vector& d, Vector& e, const Root& w1,
                               const Root& w2, const Root& w3, const Root& one,
                               const Constants& c) {
    if constexpr (kLazy) {
        const Vector four_q = _mm512_add_epi64(c.two_q, c.two_q);
        const Vector eight_q = _mm512_add_epi64(four_q, four_q);
        inverse_butterfly<kLazy>(a, b, w2, four_q, c);   // a < 8q, b < 2q
        inverse_butterfly<kLazy>(d, e, w3, four_q, c);   // d < 8q, e < 2q
        inverse_butterfly<kLazy>(a, d, w1, eight_q, c);  // a < 16q, d < 2q
        inverse_butterfly<kLazy>(b, e, w1, c.two_q, c);  // b < 4q, e < 2q
        a = multiply_uncut(a, one.w, one.w52, c);
    } else {
        inverse_butterfly<kLazy>(a, b, w2, c.two_q, c);
        inverse_butterfly<kLazy>(d, e, w3, c.two_q, c);
        a = reduce_once(a, c.two_q);
        d = reduce_once(d, c.two_q);
        inverse_butterfly<kLazy>(a, d, w1, c.two_q, c);
        inverse_butterfly<kLazy>(b, e, w1, c.two_q, c);
        a = reduce_once(a, c.two_q);
        b = reduce_once(b, c.two_q);
    }
}

template <bool kLazy>
inline void inverse_butterflies(Pairs& v, const Root& root0, const Root& root1, Vector bound,
                                const Constants& c) {
    inverse_butterfly<kLazy>(v.a0, v.b0, root0, bound, c);
    inverse_butterfly<kLazy>(v.a1, v.b1, root1, bound, c);
    if constexpr (!kLazy) {
        v.a0 = reduce_once(v.a0, c.two_q);
        v.a1 = reduce_once(v.a1, c.two_q);
    }
}

// The stages at distance 1, 2 and 4 of the i-th and the next sixteen values; below 2q come out.
template <bool kLazy>
inline Pairs inverse_first_stages(const std::uint64_t* x, std::size_t i, const LastRoots& roots,
                                  const Shuffles& s, const Root& one, const Constants& c) {
    // The way back: natural order to distance 1 (even and odd lanes), then each shuffle undone.
    const Vector even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
    const Vector odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
    const Vector four_q = _mm512_add_epi64(c.two_q, c.two_q);
    Pairs v{load(x), load(x + 8), load(x + 16), load(x + 24)};
    v.exchange_all(even, odd);
    inverse_butterflies<kLazy>(v, roots.distance1(i), roots.distance1(i + 1), c.two_q, c);
    v.exchange_all_neighbours();  // its own inverse, as are the two below
    inverse_butterflies<kLazy>(v, roots.distance2(i, s.spread2), roots.distance2(i + 1, s.spread2),
                               kLazy ? four_q : c.two_q, c);
    v.exchange_all(s.upper2, s.lower2);
    inverse_butterflies<kLazy>(v, roots.distance4(i), roots.distance4(i + 1),
                               kLazy ? _mm512_add_epi64(four_q, four_q) : c.two_q, c);
    if constexpr (kLazy) {
        // After three stages, lazy sums are below 8q.
        v.a0 = multiply_uncut(v.a0, one.w, one.w52, c);
        v.a1 = multiply_uncut(v.a1, one.w, one.w52, c);
    }
    v.exchange_all(s.upper4, s.lower4);
    return v;
}

// The last pass divides by N, too: sums by a factor of their own, differences by their root's.
template <bool kLazy, bool kLast>
void inverse_pass(std::uint64_t* x, std::size_t length, std::size_t r, std::size_t blocks,
                  const NttTable& table) {
    const Constants c(table.modulus);
    const Root by_degree(broadcast(table.inverse_degree), broadcast(table.inverse_degree_shoup));
    const Root last(broadcast(table.last_inverse_root), broadcast(table.last_inverse_root_shoup));
    const Vector four_q = _mm512_add_epi64(c.two_q, c.two_q);
    const Vector eight_q = _mm512_add_epi64(four_q, four_q);
    const auto finished = [&](Vector y, const Root& root) {
        return reduce_once(multiply_lazy(y, root.w, root.w52, c), c.q);
    };
    const Root one(broadcast(1), broadcast(table.modulus.word_barrett << 12));
    const std::uint64_t* roots = table.inverse_roots.data();
    const std::uint64_t* shoup = table.inverse_roots_shoup.data();
    const std::size_t quarter = length / 4;
    for (std::size_t end = r + blocks; r < end; ++r, x += length) {
        const Root w1(roots, shoup, r);
        const Root w2(roots, shoup, 2 * r);
        const Root w3(roots, shoup, 2 * r + 1);
        for (std::size_t j = 0; j < quarter; j += 8) {
            Vector a = load(x + j);
            Vector b = load(x + quarter + j);
            Vector d = load(x + 2 * quarter + j);
            Vector e = load(x + 3 * quarter + j);
            if constexpr (kLast) {
                // Sums are below 8q if lazy; if not, below 4q, and reduced.
                const Vector below = kLazy ? four_q : c.two_q;
                inverse_butterfly<kLazy>(a, b, w2, below, c);
                inverse_butterfly<kLazy>(d, e, w3, below, c);
                if constexpr (!kLazy) {
                    a = reduce_once(a, c.two_q);
                    d = reduce_once(d, c.two_q);
                }
                const Vector bound = kLazy ? eight_q : c.two_q;
                const Vector upper = _mm512_sub_epi64(_mm512_add_epi64(a, bound), d);
                const Vector lower = _mm512_sub_epi64(_mm512_add_epi64(b, c.two_q), e);
                store(x + j, finished(_mm512_add_epi64(a, d), by_degree));
                store(x + quarter + j, finished(_mm512_add_epi64(b, e), by_degree));
                store(x + 2 * quarter + j, finished(upper, last));
                store(x + 3 * quarter + j, finished(lower, last));
            } else {
                inverse_two_stages<kLazy>(a, b, d, e, w1, w2, w3, one, c);
                store(x + j, a);
                store(x + quarter + j, b);
                store(x + 2 * quarter + j, d);
                store(x + 3 * quarter + j, e);
            }
        }
    }
}

// All stages of a block of `length` values with root `r`, up to and with the one that joins its
// halves.
template <bool kLazy>
void inverse_block(std::uint64_t* x, const std::uint64_t* in, std::size_t length, std::size_t r,
                   const NttTable& table) {
    const Constants c(table.modulus);
    const Shuffles s;
    const Root one(broadcast(1), broadcast(table.modulus.word_barrett << 12));
    const std::uint64_t* roots = table.inverse_roots.data();
    const std::uint64_t* shoup = table.inverse_roots_shoup.data();
    const std::size_t n = table.degree;
    // As in forward_block, blocks of 16 or 32 are what a number of two-stage passes leaves over.
    std::size_t part = length;
    while (part >= 64) part /= 4;
    std::size_t root = r * (length / part);
    const LastRoots first{roots, shoup, n};
    std::size_t i = (root - n / part) * (part / 16);
    std::uint64_t* y = x;
    for (const std::uint64_t* end = x + length; y < end; y += 32, in += 32, i += 2) {
        Pairs v = inverse_first_stages<kLazy>(in, i, first, s, one, c);
        if (part == 32) {
            inverse_two_stages<kLazy>(v.a0, v.b0, v.a1, v.b1, Root(roots, shoup, root),
                                      Root(roots, shoup, 2 * root),
                                      Root(roots, shoup, 2 * root + 1), one, c);
            ++root;
        } else {
            inverse_butterflies<kLazy>(v, Root(roots, shoup, root), Root(roots, shoup, root + 1),
                                       c.two_q, c);
            root += 2;
        }
        store(y, v.a0);
        store(y + 8, v.b0);
        store(y + 16, v.a1);
        store(y + 24, v.b1);
    }
    while (part < length) {
        part *= 4;
        const std::size_t root_of_part = r * (length / part);
        if (root_of_part == 1) {
            inverse_pass<kLazy, true>(x, part, 1, 1, table);
        } else {
            inverse_pass<kLazy, false>(x, part, root_of_part, length / part, table);
        }
    }
}

template <bool kLazy>
void inverse_transform(std::uint64_t* x, const std::uint64_t* in, const NttTable& table) {
    const std::size_t n = table.degree;
    std::size_t length = n;
    while (length > kCachedBlock) length /= 4;
    for (std::size_t block = 0; block < n / length; ++block) {
        inverse_block<kLazy>(x + block * length, in + block * length, length, n / length + block,
                             table);
    }
    while (length < n) {
        length *= 4;
        if (length == n) {
            inverse_pass<kLazy, true>(x, length, 1, 1, table);
        } else {
            inverse_pass<kLazy, false>(x, length, n / length, n / length, table);
        }
    }
}

}  // namespace
}  // namespace strongroom::ring
