// The transforms of the AVX2 kernel.
//
// They go through memory in passes of two stages each (radix 4), first over the whole vector, and
// once a block fits the first cache, block after block to the end. The first pass reads words, the
// last one writes words; in between the same memory holds doubles. A block is known by the index r
// of the root that splits it; its halves are split by roots 2r and 2r + 1.
//
// Bounds, in multiples of q, for the sizes of signed values (ring/avx2_arithmetic.hpp):
// - q < 2^46 (kLazy). Roots are below q. A product of a value below 16q < 2^50 is at most
//   1/2 + 2^50 / 2^52 = 3/4. Forward, each stage adds that to a value, and from 1 at most 13.75 is
//   reached after the 17 stages of the largest ring: no reductions.
// - q < 2^50. Roots are at most q / 2. A product of a value below 4q < 2^52 is at most
//   1/2 + 2^51 / 2^52 = 1, and one of a value of at most 2q is at most 3/4.
#pragma once

#include <bit>

#include "ring/avx2_arithmetic.hpp"
#include "ring/ntt_table.hpp"

namespace strongroom::ring {
namespace {

constexpr std::size_t kCachedBlock = 2048;
constexpr std::size_t kSmallestVectorDegree = 64;
constexpr std::uint64_t kLazyBound = std::uint64_t{1} << 46;

// Roots as factors. Those of a pass are the same in all lanes, those of the last two stages not.
template <bool kLazy>
struct Roots {
    const PrimeField& field;
    const std::uint64_t* words;

    // GCC 12 may compute the addresses words + 2 r, 4 r, 8 r from one another, without a base, then
    // take that for a null pointer, the loop for unreachable and the whole pass for a function
    // without effects, and leave out the call. A statement that "writes memory" prevents it.
    Roots(const PrimeField& its_field, const std::vector<std::uint64_t>& its_words)
        : field(its_field), words(its_words.data()) {
        asm volatile("" : : : "memory");
    }

    Factor from(WordVector w) const { return kLazy ? field.factor(w) : field.centred_factor(w); }
    Factor operator[](std::size_t i) const { return from(broadcast_word(words[i])); }
};

inline void forward_butterfly(Vector& upper, Vector& lower, const Factor& root,
                              const PrimeField& field) {
    const Vector v = field.product(lower, root);
    lower = _mm256_sub_pd(upper, v);
    upper = _mm256_add_pd(upper, v);
}

inline void inverse_butterfly(Vector& upper, Vector& lower, const Factor& root,
                              const PrimeField& field) {
    const Vector difference = _mm256_sub_pd(upper, lower);
    upper = _mm256_add_pd(upper, lower);
    lower = field.product(difference, root);
}

// Two stages on the quarters of a block. If not kLazy, values are at most 2.6 before and after:
// then a is at most 0.5 + 1 after the first stage and b at most 2.6 + 1, so their products are at
// most 1 and nothing is above 0.5 + 1 + 1, with 0.1 to spare for the half in `reduced`.
template <bool kLazy>
inline void forward_two_stages(Vector& a, Vector& b, Vector& d, Vector& e, const Factor& w1,
                               const Factor& w2, const Factor& w3, const PrimeField& field) {
    if constexpr (!kLazy) a = field.reduced(a);
    forward_butterfly(a, d, w1, field);
    forward_butterfly(b, e, w1, field);
    forward_butterfly(a, b, w2, field);
    forward_butterfly(d, e, w3, field);
}

// Two stages of the inverse. If kLazy, values are at most 3 before (after inverse_stage): then a -
// b is at most 6, a - d at most 12, products 3/4, and b + e 1.5. Otherwise they are at most 1
// before: then a - b is at most 2, its product 3/4, a - d at most 4, its product 1, b - e at
// most 1.5, its product 3/4.
inline void inverse_two_stages(Vector& a, Vector& b, Vector& d, Vector& e, const Factor& w1,
                               const Factor& w2, const Factor& w3, const PrimeField& field) {
    inverse_butterfly(a, b, w2, field);
    inverse_butterfly(d, e, w3, field);
    inverse_butterfly(a, d, w1, field);
    inverse_butterfly(b, e, w1, field);
}

// After it, values are at most 1.5 if kLazy, else 1.
template <bool kLazy>
inline void reduce_sums(Vector& a, Vector& b, const PrimeField& field) {
    a = field.reduced(a);
    if constexpr (!kLazy) b = field.reduced(b);
}

// Two stages on `blocks` neighbouring blocks of `length` values, of which the first has root `r`;
// kFirst reads words.
template <bool kLazy, bool kFirst>
void forward_pass(std::uint64_t* x, std::size_t length, std::size_t r, std::size_t blocks,
                  const NttTable& table) {
    const PrimeField field(table.modulus);
    const Roots<kLazy> roots(field, table.roots);
    const std::size_t quarter = length / 4;
    for (const std::size_t end = r + blocks; r < end; ++r, x += length) {
        const Factor w1 = roots[r];
        const Factor w2 = roots[2 * r];
        const Factor w3 = roots[2 * r + 1];
        for (std::size_t j = 0; j < quarter; j += 4) {
            Vector v[4];
            for (std::size_t k = 0; k < 4; ++k) {
                const std::uint64_t* p = x + k * quarter + j;
                v[k] = kFirst ? to_double(load_words(p)) : load(p);
            }
            forward_two_stages<kLazy>(v[0], v[1], v[2], v[3], w1, w2, w3, field);
            for (std::size_t k = 0; k < 4; ++k) store(x + k * quarter + j, v[k]);
        }
    }
}

// One stage of a block, for the numbers of stages that passes of two do not make up.
template <bool kLazy>
void forward_stage(std::uint64_t* x, std::size_t length, std::size_t r, const NttTable& table) {
    const PrimeField field(table.modulus);
    const Factor w = Roots<kLazy>(field, table.roots)[r];
    for (std::size_t j = 0; j < length / 2; j += 4) {
        Vector a = load(x + j);
        Vector b = load(x + length / 2 + j);
        if constexpr (!kLazy) a = field.reduced(a);
        forward_butterfly(a, b, w, field);
        store(x + j, a);
        store(x + length / 2 + j, b);
    }
}

// Roots of the last two stages of four blocks of four values, of which the first has root `r`: a
// lane for each block. The second and the third block change places, because that is how roots come
// out of an unpacking.
template <bool kLazy>
struct LaneRoots {
    Factor w1, w2, w3;

    LaneRoots(const Roots<kLazy>& roots, std::size_t r) {
        const WordVector first = load_words(roots.words + 2 * r);
        const WordVector second = load_words(roots.words + 2 * r + 4);
        w1 = roots.from(_mm256_permute4x64_epi64(load_words(roots.words + r), 0b11011000));
        w2 = roots.from(_mm256_unpacklo_epi64(first, second));
        w3 = roots.from(_mm256_unpackhi_epi64(first, second));
    }
};

// The last two stages, on `blocks` neighbouring blocks of four values, four of them at a time: with
// the matrix of these transposed, each lane has its block. Writes words.
template <bool kLazy>
void forward_last_pass(std::uint64_t* x, std::size_t r, std::size_t blocks, const NttTable& table) {
    const PrimeField field(table.modulus);
    const Roots<kLazy> roots(field, table.roots);
    for (const std::size_t end = r + blocks; r < end; r += 4, x += 16) {
        Vector a = load(x);
        Vector b = load(x + 8);
        Vector d = load(x + 4);
        Vector e = load(x + 12);
        transpose(a, b, d, e);
        const LaneRoots<kLazy> lanes(roots, r);
        forward_two_stages<kLazy>(a, b, d, e, lanes.w1, lanes.w2, lanes.w3, field);
        a = _mm256_castsi256_pd(field.to_words(field.reduced(a)));
        b = _mm256_castsi256_pd(field.to_words(field.reduced(b)));
        d = _mm256_castsi256_pd(field.to_words(field.reduced(d)));
        e = _mm256_castsi256_pd(field.to_words(field.reduced(e)));
        transpose(a, b, d, e);
        store(x, a);
        store(x + 8, b);
        store(x + 4, d);
        store(x + 12, e);
    }
}

// All remaining stages of one block of `length` values with root `r`; the block fits the first
// cache.
template <bool kLazy>
void forward_block(std::uint64_t* x, std::size_t length, std::size_t r, const NttTable& table) {
    std::size_t part = length;
    if (std::countr_zero(length) % 2 == 1) {
        forward_stage<kLazy>(x, length, r, table);
        part /= 2;
    }
    for (; part > 4; part /= 4) {
        forward_pass<kLazy, false>(x, part, r * (length / part), length / part, table);
    }
    forward_last_pass<kLazy>(x, r * (length / part), length / part, table);
}

template <bool kLazy>
void forward_transform(std::uint64_t* x, const NttTable& table) {
    const std::size_t n = table.degree;
    forward_pass<kLazy, true>(x, n, 1, 1, table);
    std::size_t length = n / 4;
    for (; length > kCachedBlock; length /= 4) {
        forward_pass<kLazy, false>(x, length, n / length, n / length, table);
    }
    for (std::size_t block = 0; block < n / length; ++block) {
        forward_block<kLazy>(x + block * length, length, n / length + block, table);
    }
}

// The first two stages of the inverse, the reverse of forward_last_pass. Reads words.
template <bool kLazy>
void inverse_first_pass(std::uint64_t* x, std::size_t r, std::size_t blocks,
                        const NttTable& table) {
    const PrimeField field(table.modulus);
    const Roots<kLazy> roots(field, table.inverse_roots);
    for (const std::size_t end = r + blocks; r < end; r += 4, x += 16) {
        Vector a = to_double(load_words(x));
        Vector b = to_double(load_words(x + 8));
        Vector d = to_double(load_words(x + 4));
        Vector e = to_double(load_words(x + 12));
        transpose(a, b, d, e);
        const LaneRoots<kLazy> lanes(roots, r);
        inverse_two_stages(a, b, d, e, lanes.w1, lanes.w2, lanes.w3, field);
        reduce_sums<kLazy>(a, b, field);
        transpose(a, b, d, e);
        store(x, a);
        store(x + 8, b);
        store(x + 4, d);
        store(x + 12, e);
    }
}

// One stage of a block; sums come out at most 3 if kLazy.
template <bool kLazy>
void inverse_stage(std::uint64_t* x, std::size_t length, std::size_t r, const NttTable& table) {
    const PrimeField field(table.modulus);
    const Factor w = Roots<kLazy>(field, table.inverse_roots)[r];
    for (std::size_t j = 0; j < length / 2; j += 4) {
        Vector a = load(x + j);
        Vector b = load(x + length / 2 + j);
        inverse_butterfly(a, b, w, field);
        if constexpr (!kLazy) a = field.reduced(a);
        store(x + j, a);
        store(x + length / 2 + j, b);
    }
}

// Two stages, the reverse of forward_pass.
template <bool kLazy>
void inverse_pass(std::uint64_t* x, std::size_t length, std::size_t r, std::size_t blocks,
                  const NttTable& table) {
    const PrimeField field(table.modulus);
    const Roots<kLazy> roots(field, table.inverse_roots);
    const std::size_t quarter = length / 4;
    for (const std::size_t end = r + blocks; r < end; ++r, x += length) {
        const Factor w1 = roots[r];
        const Factor w2 = roots[2 * r];
        const Factor w3 = roots[2 * r + 1];
        for (std::size_t j = 0; j < quarter; j += 4) {
            Vector v[4];
            for (std::size_t k = 0; k < 4; ++k) v[k] = load(x + k * quarter + j);
            inverse_two_stages(v[0], v[1], v[2], v[3], w1, w2, w3, field);
            reduce_sums<kLazy>(v[0], v[1], field);
            for (std::size_t k = 0; k < 4; ++k) store(x + k * quarter + j, v[k]);
        }
    }
}

// The last two stages of the whole transform, multiplied by 1/N. Sums are at most 12 if kLazy, else
// 4, and a product with 1/N, like all products, is below q in size.
template <bool kLazy>
void inverse_last_pass(std::uint64_t* x, const NttTable& table) {
    const PrimeField field(table.modulus);
    const Roots<kLazy> roots(field, table.inverse_roots);
    const std::size_t quarter = table.degree / 4;
    const Factor scale = roots.from(broadcast_word(table.inverse_degree));
    const Factor w1 = roots.from(
        broadcast_word(multiply_mod(table.inverse_degree, table.inverse_roots[1], table.modulus)));
    const Factor w2 = roots[2];
    const Factor w3 = roots[3];
    for (std::size_t j = 0; j < quarter; j += 4) {
        Vector v[4];
        for (std::size_t k = 0; k < 4; ++k) v[k] = load(x + k * quarter + j);
        inverse_two_stages(v[0], v[1], v[2], v[3], w1, w2, w3, field);
        v[0] = field.product(v[0], scale);
        v[1] = field.product(v[1], scale);
        for (std::size_t k = 0; k < 4; ++k) {
            store_words(x + k * quarter + j, field.to_words(v[k]));
        }
    }
}

// All stages of a block of `length` values with root `r`, up to and with the one that joins its
// halves.
template <bool kLazy>
void inverse_block(std::uint64_t* x, std::size_t length, std::size_t r, const NttTable& table) {
    std::size_t part = 4;
    inverse_first_pass<kLazy>(x, r * (length / part), length / part, table);
    while (4 * part <= length) {
        part *= 4;
        inverse_pass<kLazy>(x, part, r * (length / part), length / part, table);
    }
    if (part < length) inverse_stage<kLazy>(x, length, r, table);
}

template <bool kLazy>
void inverse_transform(std::uint64_t* x, const NttTable& table) {
    const std::size_t n = table.degree;
    std::size_t length = n / 4;
    while (length > kCachedBlock) length /= 4;
    for (std::size_t block = 0; block < n / length; ++block) {
        inverse_block<kLazy>(x + block * length, length, n / length + block, table);
    }
    while (4 * length < n) {
        length *= 4;
        inverse_pass<kLazy>(x, length, n / length, n / length, table);
    }
    inverse_last_pass<kLazy>(x, table);
}

}  // namespace
}  // namespace strongroom::ring
