// The portable kernel: 128-bit products, no instruction set assumed.
#include <algorithm>
#include <bit>
#include <vector>

#include "ring/embedding_loops.hpp"
#include "ring/generic_loops.hpp"
#include "ring/kernel.hpp"

namespace strongroom::ring {

namespace {

// Two stages of a transform go through memory at a time (radix 4), on blocks of `length` values. A
// block is known by the index r of the root that splits it; its halves are split by roots 2r and
// 2r + 1. Words have room for values far above q, so sums are hardly ever reduced.
struct Root {
    std::uint64_t w, w_shoup, q;

    // w x mod q, below 2q, for any x.
    std::uint64_t operator*(std::uint64_t x) const { return multiply_shoup_lazy(x, w, w_shoup, q); }
};

struct Roots {
    const std::vector<std::uint64_t>&words, &shoup;
    const std::uint64_t q;

    Root operator[](std::size_t i) const { return {words[i], shoup[i], q}; }
};

Root root_of(std::uint64_t w, const Modulus& m) {
    return {w, shoup_constant(w, m), m.value};
}

// Cooley-Tukey: adds less than 2q to both.
inline void forward_butterfly(std::uint64_t& upper, std::uint64_t& lower, const Root& root) {
    const std::uint64_t v = root * lower;
    lower = upper + 2 * root.q - v;
    upper += v;
}

void forward_two_stages(std::uint64_t* x, std::size_t length, const Root& w1, const Root& w2,
                        const Root& w3) {
    const std::size_t quarter = length / 4;
    for (std::size_t j = 0; j < quarter; ++j) {
        std::uint64_t a = x[j];
        std::uint64_t b = x[quarter + j];
        std::uint64_t d = x[2 * quarter + j];
        std::uint64_t e = x[3 * quarter + j];
        forward_butterfly(a, d, w1);
        forward_butterfly(b, e, w1);
        forward_butterfly(a, b, w2);
        forward_butterfly(d, e, w3);
        x[j] = a;
        x[quarter + j] = b;
        x[2 * quarter + j] = d;
        x[3 * quarter + j] = e;
    }
}

// After the 17 stages of the largest ring values are below 35 q < 2^56.
void forward_ntt(std::uint64_t* x, const NttTable& table) {
    const Modulus& m = table.modulus;
    const Roots roots{table.roots, table.roots_shoup, m.value};
    const std::size_t n = table.degree;
    std::size_t length = n;
    for (; length >= 4; length /= 4) {
        for (std::size_t r = n / length, i = 0; i < n; ++r, i += length) {
            forward_two_stages(x + i, length, roots[r], roots[2 * r], roots[2 * r + 1]);
        }
    }
    if (length == 2) {
        for (std::size_t i = 0; i < n; i += 2) {
            forward_butterfly(x[i], x[i + 1], roots[n / 2 + i / 2]);
        }
    }
    const Root one = root_of(1, m);
    for (std::size_t j = 0; j < n; ++j) x[j] = reduce_once(one * x[j], m.value);
}

// Gentleman-Sande, on values below `bound`, a multiple of q: sums come out below twice that,
// products below 2q.
inline void inverse_butterfly(std::uint64_t& upper, std::uint64_t& lower, const Root& root,
                              std::uint64_t bound) {
    const std::uint64_t difference = upper + bound - lower;
    upper += lower;
    lower = root * difference;
}

// Values below `bound` become values below four times that; those at the first two quarters are
// multiplied by `scale` where kScaled, and then are below 2q.
template <bool kScaled>
void inverse_two_stages(std::uint64_t* x, std::size_t length, const Root& w1, const Root& w2,
                        const Root& w3, const Root& scale, std::uint64_t bound) {
    const std::size_t quarter = length / 4;
    for (std::size_t j = 0; j < quarter; ++j) {
        std::uint64_t a = x[j];
        std::uint64_t b = x[quarter + j];
        std::uint64_t d = x[2 * quarter + j];
        std::uint64_t e = x[3 * quarter + j];
        inverse_butterfly(a, b, w2, bound);
        inverse_butterfly(d, e, w3, bound);
        inverse_butterfly(a, d, w1, 2 * bound);
        inverse_butterfly(b, e, w1, 2 * bound);
        x[j] = kScaled ? scale * a : a;
        x[quarter + j] = kScaled ? scale * b : b;
        x[2 * quarter + j] = d;
        x[3 * quarter + j] = e;
    }
}

void inverse_ntt(std::uint64_t* x, const std::uint64_t* in, const NttTable& table) {
    if (x != in) std::copy_n(in, table.degree, x);
    const Modulus& m = table.modulus;
    const Roots roots{table.inverse_roots, table.inverse_roots_shoup, m.value};
    const Root one = root_of(1, m);
    const std::size_t n = table.degree;
    std::uint64_t bound = m.value;
    std::size_t length = 4;
    if (std::countr_zero(n) % 2 == 1) {
        for (std::size_t i = 0; i < n; i += 2) {
            inverse_butterfly(x[i], x[i + 1], roots[n / 2 + i / 2], bound);
        }
        bound *= 2;
        length = 8;
    }
    for (; length < n; length *= 4) {
        // The next pass needs room for four times its bound.
        const bool reduces = bound > std::uint64_t{1} << 59;
        const auto pass = reduces ? inverse_two_stages<true> : inverse_two_stages<false>;
        for (std::size_t r = n / length, i = 0; i < n; ++r, i += length) {
            pass(x + i, length, roots[r], roots[2 * r], roots[2 * r + 1], one, bound);
        }
        bound = reduces ? 2 * m.value : 4 * bound;
    }
    // The last pass multiplies everything by 1/N.
    const Root scale{table.inverse_degree, table.inverse_degree_shoup, m.value};
    const Root w1 = root_of(multiply_mod(table.inverse_degree, table.inverse_roots[1], m), m);
    inverse_two_stages<true>(x, n, w1, roots[2], roots[3], scale, bound);
    for (std::size_t j = 0; j < n; ++j) x[j] = reduce_once(x[j], m.value);
}

void add(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
         const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = add_mod(a[i], b[i], m);
}

void subtract(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
              const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = subtract_mod(a[i], b[i], m);
}

void multiply(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
              const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = multiply_mod(a[i], b[i], m);
}

void multiply_add(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                  const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) out[i] = add_mod(out[i], multiply_mod(a[i], b[i], m), m);
}

// Products are below 2^100, so 2^17 of them fit into 128 bits.
std::uint64_t dot(const std::uint64_t* a, const std::uint64_t* b, std::size_t n, const Modulus& m) {
    uint128 sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += static_cast<uint128>(a[i]) * b[i];
    return reduce_wide(sum, m);
}

// Rows of a polynomial lie a power of two apart, so a cache holds few of their lines together: each
// line of eight words is used up before the next.
constexpr std::size_t kLine = 8;

void sum_products(std::uint64_t* out, const std::uint64_t* const* a, const std::uint64_t* const* b,
                  std::size_t count, std::size_t n, const Modulus& m) {
    const std::size_t run = m.products_before_reduction();
    for (std::size_t i = 0; i < n; i += kLine) {
        std::uint64_t result[kLine] = {};
        for (std::size_t t = 0; t < count;) {
            uint128 sum[kLine] = {};
            for (const std::size_t end = count - t < run ? count : t + run; t < end; ++t) {
                const std::uint64_t* x = a[t] + i;
                const std::uint64_t* y = b[t] + i;
                for (std::size_t k = 0; k < kLine; ++k) sum[k] += static_cast<uint128>(x[k]) * y[k];
            }
            for (std::size_t k = 0; k < kLine; ++k) {
                const std::uint64_t part = multiply_shoup_lazy(montgomery_lazy(sum[k], m), m.two_52,
                                                               m.two_52_shoup, m.value);
                result[k] = add_mod(result[k], reduce_once(part, m.value), m);
            }
        }
        for (std::size_t k = 0; k < kLine; ++k) out[i + k] = result[k];
    }
}

// One of the two sums, eight words of it.
void multiply_one(std::uint64_t* out, const DiagonalProducts& products,
                  std::span<const std::uint64_t* const> x, std::size_t i, const Modulus& m) {
    const std::size_t run = m.products_before_reduction();
    const std::size_t count = products.factors.size();
    std::uint64_t result[kLine] = {};
    for (std::size_t t = 0; t < count;) {
        uint128 sum[kLine] = {};
        for (const std::size_t stop = count - t < run ? count : t + run; t < stop; ++t) {
            const unsigned log_run = products.log_run;
            const std::uint64_t* factors = products.factors[t];
            for (std::size_t k = 0; k < kLine; ++k) {
                sum[k] += static_cast<uint128>(factors[(i + k) >> log_run]) * x[t][i + k];
            }
        }
        for (std::size_t k = 0; k < kLine; ++k) {
            const std::uint64_t part =
                multiply_shoup_lazy(montgomery_lazy(sum[k], m), m.two_52, m.two_52_shoup, m.value);
            result[k] = add_mod(result[k], reduce_once(part, m.value), m);
        }
    }
    for (std::size_t k = 0; k < kLine; ++k) out[i + k] = result[k];
}

void multiply_diagonals(std::uint64_t* out_0, std::uint64_t* out_1,
                        const DiagonalProducts& products, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; i += kLine) {
        multiply_one(out_0, products, products.x0, i, m);
        multiply_one(out_1, products, products.x1, i, m);
    }
}

void combine(std::uint64_t* out, const std::uint64_t* const* x, const std::uint64_t* factors,
             std::size_t count, std::uint64_t offset, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; i += kLine) {
        uint128 sum[kLine] = {};
        for (std::size_t t = 0; t < count; ++t) {
            const std::uint64_t* word = x[t] + i;
            for (std::size_t k = 0; k < kLine; ++k) {
                sum[k] += static_cast<uint128>(word[k]) * factors[t];
            }
        }
        for (std::size_t k = 0; k < kLine; ++k) {
            // Words of at most 2^53 in all give less than 3q; with the offset, less than 4q.
            const std::uint64_t reduced = montgomery_lazy(sum[k], m) + offset;
            out[i + k] = reduce_once(reduce_once(reduced, 2 * m.value), m.value);
        }
    }
}

void subtract_scale(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                    std::size_t n, std::uint64_t w, std::uint64_t w_shoup, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t difference = a[i] + m.multiple - b[i];
        out[i] = reduce_once(multiply_shoup_lazy(difference, w, w_shoup, m.value), m.value);
    }
}

}  // namespace

const Kernel kPortableKernel = {
    .name = "portable",
    .forward_ntt = forward_ntt,
    .inverse_ntt = inverse_ntt,
    .add = add,
    .subtract = subtract,
    .multiply = multiply,
    .multiply_add = multiply_add,
    .dot = dot,
    .sum_products = sum_products,
    .multiply_diagonals = multiply_diagonals,
    .multiply_key = multiply_key_generic<sum_products, combine>,
    .combine = combine,
    .permute = permute_generic,
    .subtract_scale = subtract_scale,
    .reduce_integers = reduce_integers_generic,
    .coefficients_to_slots = coefficients_to_slots_generic,
    .slots_to_coefficients = slots_to_coefficients_generic,
    .chacha20 = chacha20_generic,
    .accept = accept_generic,
    .gaussian = gaussian_generic,
};

}  // namespace strongroom::ring
