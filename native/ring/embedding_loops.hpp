// The butterflies of the canonical embedding, compiled into every kernel with that kernel's
// instruction set (see generic_loops.hpp). Without contraction to fused multiply-adds, so that all
// kernels round alike: every value goes through the same products and sums, whatever the lanes.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "ring/embedding_lanes.hpp"
#include "ring/embedding_table.hpp"

namespace strongroom::ring {
namespace {
namespace embedding {

// Butterflies on complex numbers with separate real and imaginary parts; T is a double or `Lanes`.
template <class T>
struct Complex {
    T real, imaginary;
};

// (u, v) to (u + v w, u - v w)
template <class T>
inline void to_slots_butterfly(Complex<T>& u, Complex<T>& v, const Complex<T>& w) {
    const T real = v.real * w.real - v.imaginary * w.imaginary;
    const T imaginary = v.real * w.imaginary + v.imaginary * w.real;
    v = {u.real - real, u.imaginary - imaginary};
    u = {u.real + real, u.imaginary + imaginary};
}

// (u, v) to (u + v, (u - v) / w), for w of absolute value 1
template <class T>
inline void to_coefficients_butterfly(Complex<T>& u, Complex<T>& v, const Complex<T>& w) {
    const T real = u.real - v.real;
    const T imaginary = u.imaginary - v.imaginary;
    u = {u.real + v.real, u.imaginary + v.imaginary};
    v = {real * w.real + imaginary * w.imaginary, imaginary * w.real - real * w.imaginary};
}

inline Complex<Lanes> load(const double* real, const double* imaginary, std::size_t at) {
    return {load(real + at), load(imaginary + at)};
}

inline void store(double* real, double* imaginary, std::size_t at, const Complex<Lanes>& x) {
    store(real + at, x.real);
    store(imaginary + at, x.imaginary);
}

// Twiddles k, k + 1, ... of a table, in lanes; k is a multiple of kLanes.
inline Complex<Lanes> twiddles(const EmbeddingTable& table, std::size_t k) {
    return {load(table.real(k)), load(table.imaginary(k))};
}

template <class T>
using Butterfly = void (*)(Complex<T>&, Complex<T>&, const Complex<T>&);

// All stages of vectors shorter than a square of lanes, as they are in the books.
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

template <Butterfly<double> kButterfly>
inline void short_stage(double* real, double* imaginary, std::size_t length,
                        const EmbeddingTable& table) {
    const std::size_t half = length / 2;
    for (std::size_t u = 0; u < table.slots; ++u) {
        if (u & half) continue;
        const std::size_t v = u + half;
        const std::size_t w = half + (u & (half - 1));
        Complex<double> x = {real[u], imaginary[u]};
        Complex<double> y = {real[v], imaginary[v]};
        kButterfly(x, y, {*table.real(w), *table.imaginary(w)});
        real[u] = x.real, imaginary[u] = x.imaginary;
        real[v] = y.real, imaginary[v] = y.imaginary;
    }
}

// Longer vectors go through memory in passes of two stages each, first over the whole vector, and
// where a block fits the first cache, block after block. The shortest stages, at distances below
// kLanes, happen together with the permutation to or from bit-reversed order: see `Corners`.
constexpr std::size_t kCachedSlots = 1024;

// One stage, of blocks of `length` values, at least 2 kLanes.
template <Butterfly<Lanes> kButterfly>
inline void one_stage(double* real, double* imaginary, std::size_t n, std::size_t length,
                      const EmbeddingTable& table) {
    const std::size_t half = length / 2;
    for (std::size_t block = 0; block < n; block += length) {
        for (std::size_t j = block; j < block + half; j += kLanes) {
            Complex<Lanes> a = load(real, imaginary, j);
            Complex<Lanes> b = load(real, imaginary, j + half);
            kButterfly(a, b, twiddles(table, half + j - block));
            store(real, imaginary, j, a);
            store(real, imaginary, j + half, b);
        }
    }
}

// The stages of blocks of `length` values, at least 4 kLanes, and of their halves: first the longer
// ones if kDown, else the shorter ones.
template <bool kDown>
inline void two_stages(double* real, double* imaginary, std::size_t n, std::size_t length,
                       const EmbeddingTable& table) {
    const std::size_t quarter = length / 4;
    for (std::size_t block = 0; block < n; block += length) {
        for (std::size_t i = 0; i < quarter; i += kLanes) {
            const std::size_t j = block + i;
            Complex<Lanes> a = load(real, imaginary, j);
            Complex<Lanes> b = load(real, imaginary, j + quarter);
            Complex<Lanes> c = load(real, imaginary, j + 2 * quarter);
            Complex<Lanes> d = load(real, imaginary, j + 3 * quarter);
            const Complex<Lanes> first = twiddles(table, 2 * quarter + i);
            const Complex<Lanes> second = {first.imaginary, -first.real};
            const Complex<Lanes> inner = twiddles(table, quarter + i);
            if constexpr (kDown) {
                to_coefficients_butterfly(a, c, first);
                to_coefficients_butterfly(b, d, second);
                to_coefficients_butterfly(a, b, inner);
                to_coefficients_butterfly(c, d, inner);
            } else {
                to_slots_butterfly(a, b, inner);
                to_slots_butterfly(c, d, inner);
                to_slots_butterfly(a, c, first);
                to_slots_butterfly(b, d, second);
            }
            store(real, imaginary, j, a);
            store(real, imaginary, j + quarter, b);
            store(real, imaginary, j + 2 * quarter, c);
            store(real, imaginary, j + 3 * quarter, d);
        }
    }
}

// An index of n = kLanes^2 2^k values is (a, m, c): a and c of as many bits as a lane number has.
// In bit-reversed order it is (rev c, rev m, rev a). So the square of values with one m, a vector
// for each a, goes to the square with rev m, and is transposed on the way. Where c numbers the
// vectors, and not the lanes, stages at distances below kLanes are butterflies of whole vectors.
struct Corners {
    double* real;
    double* imaginary;
    std::size_t stride;  // from one a to the next
    const EmbeddingTable& table;
    // The twiddles of the shortest stages: as in the table, with one value in all lanes.
    std::array<Complex<Lanes>, kLanes> twiddle;

    using Square = std::array<Complex<Lanes>, kLanes>;

    Corners(double* its_real, double* its_imaginary, const EmbeddingTable& its_table)
        : real(its_real),
          imaginary(its_imaginary),
          stride(its_table.slots / kLanes),
          table(its_table) {
        for (std::size_t i = 1; i < kLanes; ++i) {
            twiddle[i] = {broadcast(*table.real(i)), broadcast(*table.imaginary(i))};
        }
    }

    void read(Square& x, std::size_t middle) const {
        for (std::size_t a = 0; a < kLanes; ++a) {
            x[a] = load(real, imaginary, kReversedLane[a] * stride + middle * kLanes);
        }
    }

    void write(const Square& x, std::size_t middle) const {
        for (std::size_t a = 0; a < kLanes; ++a) {
            store(real, imaginary, kReversedLane[a] * stride + middle * kLanes, x[a]);
        }
    }

    void turn(Square& x) const {
        std::array<Lanes, kLanes> part;
        for (std::size_t i = 0; i < kLanes; ++i) part[i] = x[i].real;
        transpose(part);
        for (std::size_t i = 0; i < kLanes; ++i) x[i].real = part[i];
        for (std::size_t i = 0; i < kLanes; ++i) part[i] = x[i].imaginary;
        transpose(part);
        for (std::size_t i = 0; i < kLanes; ++i) x[i].imaginary = part[i];
    }

    // The stage at distance kHalf. Spelled out by templates, so that a square stays in registers.
    template <Butterfly<Lanes> kButterfly, std::size_t kHalf, std::size_t... kPair>
    void stage(Square& x, std::index_sequence<kPair...> /* below kLanes / 2 */) const {
        (kButterfly(x[kPair / kHalf * 2 * kHalf + kPair % kHalf],
                    x[kPair / kHalf * 2 * kHalf + kPair % kHalf + kHalf],
                    twiddle[kHalf + kPair % kHalf]),
         ...);
    }

    template <std::size_t kHalf = 1>
    void to_slots(Square& x) const {
        if constexpr (kHalf < kLanes) {
            stage<to_slots_butterfly<Lanes>, kHalf>(x, std::make_index_sequence<kLanes / 2>());
            to_slots<2 * kHalf>(x);
        } else {
            turn(x);
        }
    }

    template <std::size_t kHalf = kLanes>
    void to_coefficients(Square& x) const {
        if constexpr (kHalf == kLanes) turn(x);
        if constexpr (kHalf > 1) {
            stage<to_coefficients_butterfly<Lanes>, kHalf / 2>(
                x, std::make_index_sequence<kLanes / 2>());
            to_coefficients<kHalf / 2>(x);
        } else {
            const Lanes share = broadcast(1.0 / static_cast<double>(table.slots));
            for (Complex<Lanes>& v : x) v = {v.real * share, v.imaginary * share};
        }
    }

    template <void (Corners::*kStages)(Square&) const>
    void run() const {
        const std::size_t middles = stride / kLanes;
        for (std::size_t m = 0, reversed = 0; m < middles; ++m) {
            if (m <= reversed) {
                Square x;
                read(x, m);
                (this->*kStages)(x);
                if (m < reversed) {
                    Square y;
                    read(y, reversed);
                    (this->*kStages)(y);
                    write(y, m);
                }
                write(x, reversed);
            }
            std::size_t bit = middles >> 1;
            for (; reversed & bit; bit >>= 1) reversed ^= bit;
            reversed ^= bit;
        }
    }
};

}  // namespace embedding

inline void coefficients_to_slots_generic(double* real, double* imaginary,
                                          const EmbeddingTable& table) {
    using namespace embedding;
    const std::size_t n = table.slots;
    if (n < kLanes * kLanes) {
        bit_reverse_order(real, imaginary, n);
        for (std::size_t length = 2; length <= n; length *= 2) {
            short_stage<to_slots_butterfly<double>>(real, imaginary, length, table);
        }
        return;
    }
    Corners(real, imaginary, table).run<&Corners::to_slots<>>();
    const std::size_t cached = n < kCachedSlots ? n : kCachedSlots;
    std::size_t length = kLanes;
    for (std::size_t block = 0; block < n; block += cached) {
        for (length = kLanes; 4 * length <= cached; length *= 4) {
            two_stages<false>(real + block, imaginary + block, cached, 4 * length, table);
        }
    }
    for (; 4 * length <= n; length *= 4) {
        two_stages<false>(real, imaginary, n, 4 * length, table);
    }
    if (length < n) {
        one_stage<to_slots_butterfly<Lanes>>(real, imaginary, n, n, table);
    }
}

inline void slots_to_coefficients_generic(double* real, double* imaginary,
                                          const EmbeddingTable& table) {
    using namespace embedding;
    const std::size_t n = table.slots;
    if (n < kLanes * kLanes) {
        for (std::size_t length = n; length >= 2; length /= 2) {
            short_stage<to_coefficients_butterfly<double>>(real, imaginary, length, table);
        }
        bit_reverse_order(real, imaginary, n);
        for (std::size_t j = 0; j < n; ++j) {
            real[j] /= static_cast<double>(n);
            imaginary[j] /= static_cast<double>(n);
        }
        return;
    }
    // What passes of two stages, from kLanes up, leave over is one stage at the top.
    std::size_t length = kLanes;
    while (4 * length <= n) length *= 4;
    if (length < n) {
        one_stage<to_coefficients_butterfly<Lanes>>(real, imaginary, n, n, table);
    }
    for (; length > kCachedSlots; length /= 4) {
        two_stages<true>(real, imaginary, n, length, table);
    }
    for (std::size_t block = 0; block < n; block += length) {
        for (std::size_t part = length; part > kLanes; part /= 4) {
            two_stages<true>(real + block, imaginary + block, length, part, table);
        }
    }
    Corners(real, imaginary, table).run<&Corners::to_coefficients<>>();
}

}  // namespace
}  // namespace strongroom::ring
