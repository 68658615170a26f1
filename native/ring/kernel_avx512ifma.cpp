// The AVX-512 IFMA kernel: eight lanes, 52-bit multiply-add.
//
// A product with a fixed factor w is Shoup's: with w' = floor(w 2^52 / q), the quotient estimate is
// the high half of x w', and x w - quotient q, taken modulo 2^52, is below 2q for any x < 2^52.
#include <immintrin.h>

#include <iterator>

#include "ring/embedding_loops.hpp"
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

// Shoup constants are stored for 64-bit words; the upper 52 bits are the constant for our lanes.
inline Vector to52(Vector shoup) {
    return _mm512_srli_epi64(shoup, 12);
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

void forward_ntt(std::uint64_t* x, const NttTable& table) {
    if (table.degree < 32) return kPortableKernel.forward_ntt(x, table);
    // The first pass makes room, and below 64 values there is none.
    const bool lazy = table.modulus.value < kLazyBound && table.degree >= 64;
    lazy ? forward_transform<true>(x, table) : forward_transform<false>(x, table);
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

void inverse_ntt(std::uint64_t* out, const std::uint64_t* in, const NttTable& table) {
    // The last pass divides by N, and below 64 values there is none.
    if (table.degree < 64) return kPortableKernel.inverse_ntt(out, in, table);
    table.modulus.value < kLazyBound ? inverse_transform<true>(out, in, table)
                                     : inverse_transform<false>(out, in, table);
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

// kCount products, few enough for one reduction and for their addresses to stay in registers.
template <std::size_t kCount>
void sum_few_products(std::uint64_t* out, const std::uint64_t* const* a,
                      const std::uint64_t* const* b, std::size_t n, const Modulus& m) {
    const Constants c(m);
    const Montgomery reduced(m);
    const Vector two_52 = broadcast(m.two_52);
    const Vector two_52_shoup = broadcast(m.two_52_shoup >> 12);
    const std::uint64_t* x[kCount];
    const std::uint64_t* y[kCount];
    for (std::size_t t = 0; t < kCount; ++t) {
        x[t] = a[t];
        y[t] = b[t];
    }
    for (std::size_t i = 0; i < n; i += 8) {
        Vector low = c.zero;
        Vector high = c.zero;
        for (std::size_t t = 0; t < kCount; ++t) {
            const Vector u = load(x[t] + i);
            const Vector v = load(y[t] + i);
            low = _mm512_madd52lo_epu64(low, u, v);
            high = _mm512_madd52hi_epu64(high, u, v);
        }
        const Vector sum = multiply_lazy(reduced(low, high), two_52, two_52_shoup, c);
        store(out + i, reduce_once(sum, c.q));
    }
}

void sum_products(std::uint64_t* out, const std::uint64_t* const* a, const std::uint64_t* const* b,
                  std::size_t count, std::size_t n, const Modulus& m) {
    switch (count) {
        case 1:
            return sum_few_products<1>(out, a, b, n, m);
        case 2:
            return sum_few_products<2>(out, a, b, n, m);
        case 3:
            return sum_few_products<3>(out, a, b, n, m);
        case 4:
            return sum_few_products<4>(out, a, b, n, m);
        default:
            break;
    }
    const Constants c(m);
    const Montgomery reduced(m);
    const Vector two_52 = broadcast(m.two_52);
    const Vector two_52_shoup = broadcast(m.two_52_shoup >> 12);
    const std::size_t run = m.products_before_reduction();
    for (std::size_t i = 0; i < n; i += 8) {
        Vector result = c.zero;
        for (std::size_t t = 0; t < count;) {
            Vector low = c.zero;
            Vector high = c.zero;
            for (const std::size_t end = count - t < run ? count : t + run; t < end; ++t) {
                const Vector x = load(a[t] + i);
                const Vector y = load(b[t] + i);
                low = _mm512_madd52lo_epu64(low, x, y);
                high = _mm512_madd52hi_epu64(high, x, y);
            }
            const Vector part = multiply_lazy(reduced(low, high), two_52, two_52_shoup, c);
            result = reduce_once(_mm512_add_epi64(result, reduce_once(part, c.q)), c.q);
        }
        store(out + i, result);
    }
}

// With kCount known, the loop over it is unrolled and factors stay in registers; 0 is any count.
// The offset goes through the reduction with the products.
template <std::size_t kCount>
void combine_some(std::uint64_t* out, const std::uint64_t* const* x, const std::uint64_t* factors,
                  std::size_t count, std::uint64_t offset, std::size_t n, const Modulus& m) {
    const Constants c(m);
    const Montgomery reduced(m);
    const Vector shift = broadcast(multiply_mod(offset, m.two_52, m));
    const std::size_t terms = kCount == 0 ? count : kCount;
    Vector factor[kCount == 0 ? kMostCombined : kCount];
    for (std::size_t t = 0; t < terms; ++t) factor[t] = broadcast(factors[t]);
    for (std::size_t i = 0; i < n; i += 8) {
        Vector low = shift;
        Vector high = c.zero;
        for (std::size_t t = 0; t < terms; ++t) {
            const Vector word = load(x[t] + i);
            low = _mm512_madd52lo_epu64(low, word, factor[t]);
            high = _mm512_madd52hi_epu64(high, word, factor[t]);
        }
        Vector sum = reduced(low, high);
        // Three words below 2^50 give less than 2q, more of them less than 4q.
        if (kCount == 0 || kCount > 3) sum = reduce_once(sum, c.two_q);
        store(out + i, reduce_once(sum, c.q));
    }
}

void combine(std::uint64_t* out, const std::uint64_t* const* x, const std::uint64_t* factors,
             std::size_t count, std::uint64_t offset, std::size_t n, const Modulus& m) {
    constexpr decltype(&combine_some<0>) kBySize[] = {
        combine_some<0>, combine_some<1>, combine_some<2>, combine_some<3>, combine_some<4>,
        combine_some<5>, combine_some<6>, combine_some<7>, combine_some<8>};
    kBySize[count < std::size(kBySize) ? count : 0](out, x, factors, count, offset, n, m);
}

// Keys are larger than any cache, and rows of them are too short for the processor to foresee.
constexpr std::size_t kKeyAhead = 128;

template <std::size_t kCount, bool kPlusB, bool kPlusA>
void multiply_key_some(std::uint64_t* out_b, std::uint64_t* out_a, const KeyProducts& products,
                       std::size_t n, const Modulus& m) {
    const Constants c(m);
    const Montgomery reduced(m);
    const Vector two_52 = broadcast(m.two_52);
    const Vector two_52_shoup = broadcast(m.two_52_shoup >> 12);
    const Vector factor = broadcast(products.factor);
    const std::uint64_t* x[kCount];
    const std::uint64_t* b[kCount];
    const std::uint64_t* a[kCount];
    for (std::size_t t = 0; t < kCount; ++t) {
        x[t] = products.digits[t];
        b[t] = products.b[t];
        a[t] = products.a[t];
    }
    const auto finished = [&](Vector low, Vector high) {
        return reduce_once(multiply_lazy(reduced(low, high), two_52, two_52_shoup, c), c.q);
    };
    for (std::size_t i = 0; i < n; i += 8) {
        Vector low_b = c.zero, high_b = c.zero, low_a = c.zero, high_a = c.zero;
        for (std::size_t t = 0; t < kCount; ++t) {
            const Vector digit = load(x[t] + i);
            _mm_prefetch(reinterpret_cast<const char*>(b[t] + i + kKeyAhead), _MM_HINT_T0);
            _mm_prefetch(reinterpret_cast<const char*>(a[t] + i + kKeyAhead), _MM_HINT_T0);
            const Vector key_b = load(b[t] + i);
            const Vector key_a = load(a[t] + i);
            low_b = _mm512_madd52lo_epu64(low_b, digit, key_b);
            high_b = _mm512_madd52hi_epu64(high_b, digit, key_b);
            low_a = _mm512_madd52lo_epu64(low_a, digit, key_a);
            high_a = _mm512_madd52hi_epu64(high_a, digit, key_a);
        }
        if constexpr (kPlusB) {
            const Vector plus = load(products.plus_b + i);
            low_b = _mm512_madd52lo_epu64(low_b, plus, factor);
            high_b = _mm512_madd52hi_epu64(high_b, plus, factor);
        }
        if constexpr (kPlusA) {
            const Vector plus = load(products.plus_a + i);
            low_a = _mm512_madd52lo_epu64(low_a, plus, factor);
            high_a = _mm512_madd52hi_epu64(high_a, plus, factor);
        }
        store(out_b + i, finished(low_b, high_b));
        store(out_a + i, finished(low_a, high_a));
    }
}

// One pass for up to five digits: with the added vector, fewer products than any prime's sums
// hold.
void multiply_key(std::uint64_t* out_b, std::uint64_t* out_a, const KeyProducts& products,
                  std::size_t n, const Modulus& m) {
    const auto for_count = [&]<std::size_t kCount>() {
        if (products.plus_a != nullptr && products.plus_b != nullptr) {
            multiply_key_some<kCount, true, true>(out_b, out_a, products, n, m);
        } else if (products.plus_b != nullptr) {
            multiply_key_some<kCount, true, false>(out_b, out_a, products, n, m);
        } else {
            multiply_key_some<kCount, false, false>(out_b, out_a, products, n, m);
        }
    };
    const bool only_a = products.plus_a != nullptr && products.plus_b == nullptr;
    switch (only_a ? 0 : products.digits.size()) {
        case 1:
            return for_count.template operator()<1>();
        case 2:
            return for_count.template operator()<2>();
        case 3:
            return for_count.template operator()<3>();
        case 4:
            return for_count.template operator()<4>();
        case 5:
            return for_count.template operator()<5>();
        default:
            return multiply_key_generic<sum_products, combine>(out_b, out_a, products, n, m);
    }
}

void permute(std::uint64_t* out, const std::uint64_t* a, const Automorphism& automorphism) {
    const std::uint32_t* source = automorphism.source.data();
    for (std::size_t i = 0; i < automorphism.degree; i += 8, ++source) {
        const Vector order = load(automorphism.lanes[*source & 7].data());
        store(out + i, _mm512_permutexvar_epi64(order, load(a + (*source & ~7u))));
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

// With a multiple of q above all b, the difference is positive, and below 2^52.
void subtract_scale(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                    std::size_t n, std::uint64_t w, std::uint64_t w_shoup, const Modulus& m) {
    const Constants c(m);
    const Vector multiple = broadcast(m.multiple);
    const Vector factor = broadcast(w);
    const Vector factor52 = broadcast(w_shoup >> 12);
    for (std::size_t i = 0; i < n; i += 8) {
        const Vector difference =
            _mm512_sub_epi64(_mm512_add_epi64(load(a + i), multiple), load(b + i));
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
    .sum_products = sum_products,
    .multiply_key = multiply_key,
    .combine = combine,
    .permute = permute,
    .subtract_scale = subtract_scale,
    .reduce_integers = reduce_integers_generic,
    .coefficients_to_slots = coefficients_to_slots_generic,
    .slots_to_coefficients = slots_to_coefficients_generic,
    .chacha20 = chacha20_generic,
    .accept = accept,
    .gaussian = gaussian_generic,
};

}  // namespace strongroom::ring
