// The AVX2 kernel: four lanes of doubles and their fused multiply-add.
#include <algorithm>
#include <array>
#include <iterator>

#include "ring/avx2_arithmetic.hpp"
#include "ring/avx2_transforms.hpp"
#include "ring/embedding_loops.hpp"
#include "ring/generic_loops.hpp"
#include "ring/kernel.hpp"

namespace strongroom::ring {

namespace {

void forward_ntt(std::uint64_t* x, const NttTable& table) {
    if (table.degree < kSmallestVectorDegree) return kPortableKernel.forward_ntt(x, table);
    table.modulus.value < kLazyBound ? forward_transform<true>(x, table)
                                     : forward_transform<false>(x, table);
}

void inverse_ntt(std::uint64_t* out, const std::uint64_t* in, const NttTable& table) {
    if (table.degree < kSmallestVectorDegree) return kPortableKernel.inverse_ntt(out, in, table);
    if (out != in) std::copy_n(in, table.degree, out);
    table.modulus.value < kLazyBound ? inverse_transform<true>(out, table)
                                     : inverse_transform<false>(out, table);
}

void add(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
         const Modulus& m) {
    const WordVector q = broadcast_word(m.value);
    for (std::size_t i = 0; i < n; i += 4) {
        const WordVector sum = _mm256_add_epi64(load_words(a + i), load_words(b + i));
        store_words(out + i, reduce_word_once(sum, q));
    }
}

void subtract(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
              const Modulus& m) {
    const WordVector q = broadcast_word(m.value);
    for (std::size_t i = 0; i < n; i += 4) {
        const WordVector difference = _mm256_sub_epi64(load_words(a + i), load_words(b + i));
        store_words(out + i, if_negative(difference, _mm256_add_epi64(difference, q), difference));
    }
}

void multiply(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
              const Modulus& m) {
    const PrimeField field(m);
    for (std::size_t i = 0; i < n; i += 4) {
        const Vector x = to_double(load_words(a + i));
        const Vector y = to_double(load_words(b + i));
        store_words(out + i, field.to_words(field.product(x, y)));
    }
}

void multiply_add(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b, std::size_t n,
                  const Modulus& m) {
    const PrimeField field(m);
    for (std::size_t i = 0; i < n; i += 4) {
        const Vector x = to_double(load_words(a + i));
        const Vector y = to_double(load_words(b + i));
        const WordVector product = field.to_words(field.product(x, y));
        const WordVector sum = _mm256_add_epi64(load_words(out + i), product);
        store_words(out + i, reduce_word_once(sum, field.q_words));
    }
}

// Between -q / 2 and q / 2.
double centred(std::uint64_t residue, const Modulus& m) {
    const auto word = static_cast<std::int64_t>(residue);
    const auto q = static_cast<std::int64_t>(m.value);
    return static_cast<double>(word > q / 2 ? word - q : word);
}

// A sum of products in two doubles. `high` starts as 3 2^(52 + bits), so that its mantissa ends at
// 2^(bits + 1), and takes each product rounded to that; `low` takes what the rounding left, at most
// 2^bits. Both are exact as long as
// - the sizes of the products add up to at most 2^52 (q - 1): then, roundings included, `high`
//   stays between 2^(53 + bits) and 2^(54 + bits), where its mantissa ends at that place, and
// - there are at most 6 2^(50 - bits) of them, so that `low` is at most 6 2^50.
struct SumOfProducts {
    Vector high, low, start;

    explicit SumOfProducts(const Modulus& m)
        : high(_mm256_set1_pd(1.5 * static_cast<double>(std::uint64_t{1} << m.bits) * 0x1p53)),
          low(_mm256_setzero_pd()),
          start(high) {}

    void add(Vector x, Vector y) {
        const Vector sum = _mm256_fmadd_pd(x, y, high);
        low = _mm256_add_pd(low, _mm256_fmsub_pd(x, y, _mm256_sub_pd(sum, high)));
        high = sum;
    }

    // The sum plus `carry`, at most (q + 1) / 2 in size, modulo q and at most (q + 1) / 2 in size.
    // The quotient of the high part is at most 2^52; it is rounded to an even number and off by 1
    // and 2^-53 of itself: what remains is at most 3 q / 2, so all three make less than 2^53.
    Vector reduced(Vector carry, const PrimeField& field) const {
        const Vector rounder = _mm256_set1_pd(0x1.8p53);
        const Vector sum = _mm256_sub_pd(high, start);
        const Vector quotient =
            _mm256_sub_pd(_mm256_fmadd_pd(sum, field.inverse, rounder), rounder);
        const Vector rest = _mm256_fnmadd_pd(quotient, field.q, sum);
        return field.reduced(_mm256_add_pd(_mm256_add_pd(rest, carry), low));
    }
};

// Terms of a sum of products of residues: as many as 2^(52 - bits) keep its two conditions. Two
// vectors at a time, since one sum is a chain of operations that wait for one another.
void sum_products(std::uint64_t* out, const std::uint64_t* const* a, const std::uint64_t* const* b,
                  std::size_t count, std::size_t n, const Modulus& m) {
    const PrimeField field(m);
    const SumOfProducts none(m);
    const std::size_t run = std::size_t{1} << (52 - m.bits);
    for (std::size_t i = 0; i < n; i += 8) {
        Vector first = _mm256_setzero_pd();
        Vector second = first;
        for (std::size_t t = 0; t < count;) {
            SumOfProducts first_sum = none;
            SumOfProducts second_sum = none;
            for (const std::size_t end = count - t < run ? count : t + run; t < end; ++t) {
                const std::uint64_t* x = a[t] + i;
                const std::uint64_t* y = b[t] + i;
                first_sum.add(to_double(load_words(x)), to_double(load_words(y)));
                second_sum.add(to_double(load_words(x + 4)), to_double(load_words(y + 4)));
            }
            first = first_sum.reduced(first, field);
            second = second_sum.reduced(second, field);
        }
        store_words(out + i, field.to_words(first));
        store_words(out + i + 4, field.to_words(second));
    }
}

// Four factors from word i on.
inline Vector factors_at(const DiagonalProducts& products, std::size_t t, std::size_t i) {
    const unsigned log_run = products.log_run;
    const std::uint64_t* word = products.factors[t] + (i >> log_run);
    if (log_run == 0) return to_double(load_words(word));
    if (log_run == 1) return _mm256_permute4x64_pd(to_double(load_words(word)), 0b01'01'00'00);
    return _mm256_set1_pd(static_cast<double>(*word));
}

// Both sums at once: factors come from memory, and are read once for the two.
void multiply_diagonals(std::uint64_t* out_0, std::uint64_t* out_1,
                        const DiagonalProducts& products, std::size_t n, const Modulus& m) {
    const PrimeField field(m);
    const SumOfProducts none(m);
    const std::size_t run = std::size_t{1} << (52 - m.bits);
    const std::size_t count = products.factors.size();
    for (std::size_t i = 0; i < n; i += 4) {
        Vector first = _mm256_setzero_pd();
        Vector second = first;
        for (std::size_t t = 0; t < count;) {
            SumOfProducts first_sum = none;
            SumOfProducts second_sum = none;
            for (const std::size_t stop = count - t < run ? count : t + run; t < stop; ++t) {
                const Vector factor = factors_at(products, t, i);
                first_sum.add(factor, to_double(load_words(products.x0[t] + i)));
                second_sum.add(factor, to_double(load_words(products.x1[t] + i)));
            }
            first = first_sum.reduced(first, field);
            second = second_sum.reduced(second, field);
        }
        store_words(out_0 + i, field.to_words(first));
        store_words(out_1 + i, field.to_words(second));
    }
}

// Factors without their 2^52 and at most q / 2 in size: the words add up to 2^53, so the products
// to 2^52 q. Six of them keep the other condition. With kCount known, the loop over it is unrolled
// and factors stay in registers; 0 is any count.
template <std::size_t kCount>
void combine_some(std::uint64_t* out, const std::uint64_t* const* x, const std::uint64_t* factors,
                  std::size_t count, std::uint64_t offset, std::size_t n, const Modulus& m) {
    constexpr std::size_t kRun = 6;
    const PrimeField field(m);
    const SumOfProducts none(m);
    const Vector shift = _mm256_set1_pd(centred(offset, m));
    const std::size_t terms = kCount == 0 ? count : kCount;
    Vector factor[kCount == 0 ? kMostCombined : kCount];
    for (std::size_t t = 0; t < terms; ++t) {
        const std::uint64_t divided = reduce_once(montgomery_lazy(factors[t], m), m.value);
        factor[t] = _mm256_set1_pd(centred(divided, m));
    }
    for (std::size_t i = 0; i < n; i += 8) {
        Vector first = shift;
        Vector second = shift;
        for (std::size_t t = 0; t < terms;) {
            SumOfProducts first_sum = none;
            SumOfProducts second_sum = none;
            for (const std::size_t end = terms - t < kRun ? terms : t + kRun; t < end; ++t) {
                first_sum.add(to_double(load_words(x[t] + i)), factor[t]);
                second_sum.add(to_double(load_words(x[t] + i + 4)), factor[t]);
            }
            first = first_sum.reduced(first, field);
            second = second_sum.reduced(second, field);
        }
        store_words(out + i, field.to_words(first));
        store_words(out + i + 4, field.to_words(second));
    }
}

void combine(std::uint64_t* out, const std::uint64_t* const* x, const std::uint64_t* factors,
             std::size_t count, std::uint64_t offset, std::size_t n, const Modulus& m) {
    constexpr decltype(&combine_some<0>) kBySize[] = {
        combine_some<0>, combine_some<1>, combine_some<2>, combine_some<3>, combine_some<4>,
        combine_some<5>, combine_some<6>, combine_some<7>, combine_some<8>};
    kBySize[count < std::size(kBySize) ? count : 0](out, x, factors, count, offset, n, m);
}

// Words are cut in halves of 26 and 24 bits; sums of the three kinds of products of halves take
// 2^12 of them before they could overflow.
std::uint64_t dot(const std::uint64_t* a, const std::uint64_t* b, std::size_t n, const Modulus& m) {
    constexpr std::size_t kRun = 4 * 4096;
    const WordVector mask = broadcast_word((std::uint64_t{1} << 26) - 1);
    uint128 sum = 0;
    std::size_t i = 0;
    while (i + 4 <= n) {
        WordVector low = _mm256_setzero_si256();
        WordVector middle = low;
        WordVector high = low;
        for (const std::size_t end = i + kRun; i + 4 <= n && i < end; i += 4) {
            const WordVector x = load_words(a + i);
            const WordVector y = load_words(b + i);
            const WordVector x0 = _mm256_and_si256(x, mask);
            const WordVector y0 = _mm256_and_si256(y, mask);
            const WordVector x1 = _mm256_srli_epi64(x, 26);
            const WordVector y1 = _mm256_srli_epi64(y, 26);
            low = _mm256_add_epi64(low, _mm256_mul_epu32(x0, y0));
            middle = _mm256_add_epi64(
                middle, _mm256_add_epi64(_mm256_mul_epu32(x0, y1), _mm256_mul_epu32(x1, y0)));
            high = _mm256_add_epi64(high, _mm256_mul_epu32(x1, y1));
        }
        std::uint64_t lows[4], middles[4], highs[4];
        store_words(lows, low);
        store_words(middles, middle);
        store_words(highs, high);
        for (std::size_t lane = 0; lane < 4; ++lane) {
            sum += (static_cast<uint128>(highs[lane]) << 52) +
                   (static_cast<uint128>(middles[lane]) << 26) + lows[lane];
        }
    }
    for (; i < n; ++i) sum += static_cast<uint128>(a[i]) * b[i];
    return reduce_wide(sum, m);
}

// Orders of eight values are orders of their halves, since a place and the one four further on
// exchange by an odd number of turns: each half of the result comes from one half of the source.
void permute(std::uint64_t* out, const std::uint64_t* a, const Automorphism& automorphism) {
    struct Half {
        std::size_t source;
        WordVector order;  // of 32-bit words, as _mm256_permutevar8x32_epi32 wants it
    };
    std::array<std::array<Half, 2>, 8> halves;
    for (std::size_t order = 0; order < 8; ++order) {
        for (std::size_t half = 0; half < 2; ++half) {
            const std::uint64_t* lane = automorphism.lanes[order].data() + 4 * half;
            std::uint64_t pairs[4];
            for (std::size_t k = 0; k < 4; ++k) {
                pairs[k] = 0x0000000100000000 + (lane[k] & 3) * 0x0000000200000002;
            }
            halves[order][half] = {lane[0] & 4, load_words(pairs)};
        }
    }
    const std::uint32_t* source = automorphism.source.data();
    for (std::size_t i = 0; i < automorphism.degree; i += 8, ++source) {
        const std::uint64_t* from = a + (*source & ~7u);
        for (std::size_t k = 0; k < 2; ++k) {
            const Half& half = halves[*source & 7][k];
            store_words(out + i + 4 * k,
                        _mm256_permutevar8x32_epi32(load_words(from + half.source), half.order));
        }
    }
}

// a - b is below 2^51 in size and w at most q / 2, so products are at most 3 q / 4.
void subtract_scale(std::uint64_t* out, const std::uint64_t* a, const std::uint64_t* b,
                    std::size_t n, std::uint64_t w, std::uint64_t, const Modulus& m) {
    const PrimeField field(m);
    const Factor scale = field.centred_factor(broadcast_word(w));
    for (std::size_t i = 0; i < n; i += 4) {
        const Vector difference =
            _mm256_sub_pd(to_double(load_words(a + i)), to_double(load_words(b + i)));
        store_words(out + i, field.to_words(field.product(difference, scale)));
    }
}

}  // namespace

constinit const Kernel kAvx2Kernel = {
    .name = "avx2",
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
    .permute = permute,
    .subtract_scale = subtract_scale,
    .reduce_integers = reduce_integers_generic,
    .coefficients_to_slots = coefficients_to_slots_generic,
    .slots_to_coefficients = slots_to_coefficients_generic,
    .chacha20 = chacha20_generic,
    .accept = accept_generic,
    .gaussian = gaussian_generic,
};

}  // namespace strongroom::ring
