// The portable kernel: 128-bit products, no instruction set assumed.
#include "ring/embedding_loops.hpp"
#include "ring/generic_loops.hpp"
#include "ring/kernel.hpp"

namespace strongroom::ring {

namespace {

// Cooley-Tukey butterflies with values below 4q between stages (Harvey 2014, algorithm 4).
void forward_ntt(std::uint64_t* x, const NttTable& table) {
    const std::uint64_t q = table.modulus.value;
    const std::uint64_t two_q = 2 * q;
    const std::size_t n = table.degree;
    std::size_t t = n / 2;
    for (std::size_t m = 1; m < n; m *= 2, t /= 2) {
        for (std::size_t i = 0; i < m; ++i) {
            const std::uint64_t w = table.roots[m + i];
            const std::uint64_t w_shoup = table.roots_shoup[m + i];
            std::uint64_t* upper = x + 2 * i * t;
            std::uint64_t* lower = upper + t;
            for (std::size_t j = 0; j < t; ++j) {
                const std::uint64_t u = reduce_once(upper[j], two_q);
                const std::uint64_t v = multiply_shoup_lazy(lower[j], w, w_shoup, q);
                upper[j] = u + v;
                lower[j] = u - v + two_q;
            }
        }
    }
    for (std::size_t j = 0; j < n; ++j) x[j] = reduce_once(reduce_once(x[j], two_q), q);
}

// Gentleman-Sande butterflies with values below 2q between stages.
void inverse_ntt(std::uint64_t* x, const NttTable& table) {
    const std::uint64_t q = table.modulus.value;
    const std::uint64_t two_q = 2 * q;
    const std::size_t n = table.degree;
    std::size_t t = 1;
    for (std::size_t m = n / 2; m >= 1; m /= 2, t *= 2) {
        for (std::size_t i = 0; i < m; ++i) {
            const std::uint64_t w = table.inverse_roots[m + i];
            const std::uint64_t w_shoup = table.inverse_roots_shoup[m + i];
            std::uint64_t* upper = x + 2 * i * t;
            std::uint64_t* lower = upper + t;
            for (std::size_t j = 0; j < t; ++j) {
                const std::uint64_t u = upper[j];
                const std::uint64_t v = lower[j];
                upper[j] = reduce_once(u + v, two_q);
                lower[j] = multiply_shoup_lazy(u - v + two_q, w, w_shoup, q);
            }
        }
    }
    for (std::size_t j = 0; j < n; ++j) {
        x[j] = reduce_once(
            multiply_shoup_lazy(x[j], table.inverse_degree, table.inverse_degree_shoup, q), q);
    }
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

void sum_products(std::uint64_t* out, const std::uint64_t* const* a, const std::uint64_t* const* b,
                  std::size_t count, std::size_t n, const Modulus& m) {
    const std::size_t run = m.products_before_reduction();
    for (std::size_t i = 0; i < n; ++i) {
        std::uint64_t result = 0;
        for (std::size_t t = 0; t < count;) {
            uint128 sum = 0;
            for (const std::size_t end = count - t < run ? count : t + run; t < end; ++t) {
                sum += static_cast<uint128>(a[t][i]) * b[t][i];
            }
            const std::uint64_t reduced = reduce_once(
                multiply_shoup_lazy(montgomery_lazy(sum, m), m.two_52, m.two_52_shoup, m.value),
                m.value);
            result = add_mod(result, reduced, m);
        }
        out[i] = result;
    }
}

void combine(std::uint64_t* out, const std::uint64_t* const* x, const std::uint64_t* factors,
             std::size_t count, std::uint64_t offset, std::size_t n, const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        uint128 sum = 0;
        for (std::size_t t = 0; t < count; ++t) sum += static_cast<uint128>(x[t][i]) * factors[t];
        // Words of at most 2^53 in all give less than 3q; with the offset, less than 4q.
        const std::uint64_t reduced = montgomery_lazy(sum, m) + offset;
        out[i] = reduce_once(reduce_once(reduced, 2 * m.value), m.value);
    }
}

void subtract_reduced_scale(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                            std::size_t n, std::uint64_t w, std::uint64_t w_shoup,
                            const Modulus& m) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint64_t difference = subtract_mod(a[i], reduce_word(b[i], m), m);
        out[i] = reduce_once(multiply_shoup_lazy(difference, w, w_shoup, m.value), m.value);
    }
}

}  // namespace

const Kernel kPortableKernel = {
    .name = "portable",
    .forward_ntt = forward_ntt,
    .inverse_ntt = inverse_ntt,
    .add = add,
    .add_constant = add_constant_generic,
    .subtract = subtract,
    .multiply = multiply,
    .multiply_add = multiply_add,
    .dot = dot,
    .sum_products = sum_products,
    .multiply_key = multiply_key_generic<sum_products, combine>,
    .combine = combine,
    .permute = permute_generic,
    .subtract_reduced_scale = subtract_reduced_scale,
    .reduce_integers = reduce_integers_generic,
    .coefficients_to_slots = coefficients_to_slots_generic,
    .slots_to_coefficients = slots_to_coefficients_generic,
    .chacha20 = chacha20_generic,
    .accept = accept_generic,
    .gaussian = gaussian_generic,
};

}  // namespace strongroom::ring
