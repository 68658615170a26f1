// The AVX-512 IFMA kernel: eight lanes, 52-bit multiply-add.
#include <iterator>

#include "ring/avx512_arithmetic.hpp"
#include "ring/avx512_transforms.hpp"
#include "ring/embedding_loops.hpp"
#include "ring/generic_loops.hpp"
#include "ring/kernel.hpp"

namespace strongroom::ring {

namespace {

void forward_ntt(std::uint64_t* x, const NttTable& table) {
    if (table.degree < 32) return kPortableKernel.forward_ntt(x, table);
    // The first pass makes room, and below 64 values there is none.
    const bool lazy = table.modulus.value < kLazyBound && table.degree >= 64;
    lazy ? forward_transform<true>(x, table) : forward_transform<false>(x, table);
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

// Eight factors from word i on; kLogRun 3 stands for all longer runs.
template <unsigned kLogRun>
inline Vector factors_at(const std::uint64_t* factors, std::size_t i, unsigned log_run) {
    const std::uint64_t* word = factors + (i >> log_run);
    if constexpr (kLogRun == 0) return load(word);
    if constexpr (kLogRun >= 3) return broadcast(*word);
    const Vector places = kLogRun == 1 ? _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3)
                                       : _mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1);
    return _mm512_permutexvar_epi64(places, load(word));
}

// Both sums at once: factors come from memory, and are read once for the two.
template <unsigned kLogRun>
void multiply_runs(std::uint64_t* out_0, std::uint64_t* out_1, const DiagonalProducts& products,
                   std::size_t n, const Modulus& m) {
    const Constants c(m);
    const Montgomery reduced(m);
    const Vector two_52 = broadcast(m.two_52);
    const Vector two_52_shoup = broadcast(m.two_52_shoup >> 12);
    const std::size_t run = m.products_before_reduction();
    const std::size_t count = products.factors.size();
    const unsigned log_run = products.log_run;
    const auto joined = [&](Vector sum, Vector low, Vector high) {
        const Vector part = multiply_lazy(reduced(low, high), two_52, two_52_shoup, c);
        return reduce_once(_mm512_add_epi64(sum, reduce_once(part, c.q)), c.q);
    };
    for (std::size_t i = 0; i < n; i += 8) {
        Vector sum_0 = c.zero;
        Vector sum_1 = c.zero;
        for (std::size_t t = 0; t < count;) {
            Vector low_0 = c.zero, high_0 = c.zero, low_1 = c.zero, high_1 = c.zero;
            for (const std::size_t stop = count - t < run ? count : t + run; t < stop; ++t) {
                const Vector factor = factors_at<kLogRun>(products.factors[t], i, log_run);
                const Vector x0 = load(products.x0[t] + i);
                const Vector x1 = load(products.x1[t] + i);
                low_0 = _mm512_madd52lo_epu64(low_0, factor, x0);
                high_0 = _mm512_madd52hi_epu64(high_0, factor, x0);
                low_1 = _mm512_madd52lo_epu64(low_1, factor, x1);
                high_1 = _mm512_madd52hi_epu64(high_1, factor, x1);
            }
            sum_0 = joined(sum_0, low_0, high_0);
            sum_1 = joined(sum_1, low_1, high_1);
        }
        store(out_0 + i, sum_0);
        store(out_1 + i, sum_1);
    }
}

void multiply_diagonals(std::uint64_t* out_0, std::uint64_t* out_1,
                        const DiagonalProducts& products, std::size_t n, const Modulus& m) {
    switch (products.log_run) {
        case 0:
            return multiply_runs<0>(out_0, out_1, products, n, m);
        case 1:
            return multiply_runs<1>(out_0, out_1, products, n, m);
        case 2:
            return multiply_runs<2>(out_0, out_1, products, n, m);
        default:
            return multiply_runs<3>(out_0, out_1, products, n, m);
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
    .multiply_diagonals = multiply_diagonals,
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
