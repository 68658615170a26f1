// Loops that a compiler vectorises well by itself, written once and compiled into every kernel with
// that kernel's instruction set. Everything here is in an unnamed namespace on purpose: each
// translation unit must get its own copy.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "ring/automorphism.hpp"
#include "ring/gaussian_table.hpp"
#include "ring/integer_loops.hpp"
#include "ring/kernel.hpp"
#include "ring/modulus.hpp"

namespace strongroom::ring {
namespace {

// ChaCha20 (RFC 8439, section 2.3), sixteen blocks side by side.
constexpr std::size_t kChaChaLanes = 16;

inline void chacha20_quarter(std::uint32_t* a, std::uint32_t* b, std::uint32_t* c,
                             std::uint32_t* d) {
    for (std::size_t i = 0; i < kChaChaLanes; ++i) {
        a[i] += b[i];
        d[i] = std::rotl(d[i] ^ a[i], 16);
        c[i] += d[i];
        b[i] = std::rotl(b[i] ^ c[i], 12);
        a[i] += b[i];
        d[i] = std::rotl(d[i] ^ a[i], 8);
        c[i] += d[i];
        b[i] = std::rotl(b[i] ^ c[i], 7);
    }
}

inline void chacha20_generic(std::uint32_t* out, const std::uint32_t* key,
                             const std::uint32_t* nonce, std::uint32_t counter,
                             std::size_t blocks) {
    const std::uint32_t initial[16] = {
        0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, key[0], key[1],   key[2],   key[3],
        key[4],     key[5],     key[6],     key[7],     0,      nonce[0], nonce[1], nonce[2]};
    for (std::size_t done = 0; done < blocks; done += kChaChaLanes) {
        alignas(64) std::uint32_t x[16][kChaChaLanes];
        alignas(64) std::uint32_t start[16][kChaChaLanes];
        for (std::size_t w = 0; w < 16; ++w) {
            for (std::size_t i = 0; i < kChaChaLanes; ++i) {
                start[w][i] = w == 12 ? counter + static_cast<std::uint32_t>(done + i) : initial[w];
                x[w][i] = start[w][i];
            }
        }
        for (int round = 0; round < 10; ++round) {
            chacha20_quarter(x[0], x[4], x[8], x[12]);
            chacha20_quarter(x[1], x[5], x[9], x[13]);
            chacha20_quarter(x[2], x[6], x[10], x[14]);
            chacha20_quarter(x[3], x[7], x[11], x[15]);
            chacha20_quarter(x[0], x[5], x[10], x[15]);
            chacha20_quarter(x[1], x[6], x[11], x[12]);
            chacha20_quarter(x[2], x[7], x[8], x[13]);
            chacha20_quarter(x[3], x[4], x[9], x[14]);
        }
        const std::size_t lanes = blocks - done < kChaChaLanes ? blocks - done : kChaChaLanes;
        for (std::size_t w = 0; w < 16; ++w) {
            for (std::size_t i = 0; i < kChaChaLanes; ++i) x[w][i] += start[w][i];
        }
        for (std::size_t i = 0; i < lanes; ++i) {
            for (std::size_t w = 0; w < 16; ++w) out[(done + i) * 16 + w] = x[w][i];
        }
    }
}

inline std::size_t accept_generic(std::uint64_t* out, std::size_t room, const std::uint32_t* words,
                                  std::size_t count, const Modulus& m) {
    const std::uint64_t mask = (std::uint64_t{1} << m.bits) - 1;
    const std::size_t step = m.bits <= 32 ? 1 : 2;
    std::size_t done = 0;
    for (std::size_t w = 0; w + step <= count && done < room; w += step) {
        std::uint64_t x = words[w];
        if (step == 2) x |= static_cast<std::uint64_t>(words[w + 1]) << 32;
        x &= mask;
        // Written always and kept only if below q: the branch would be unpredictable.
        out[done] = x;
        done += x < m.value ? 1 : 0;
    }
    return done;
}

// By the kernel's own sums of products and combinations.
template <auto kSumProducts, auto kCombine>
inline void multiply_key_generic(std::uint64_t* out_b, std::uint64_t* out_a,
                                 const KeyProducts& products, std::size_t n, const Modulus& m) {
    const auto half = [&](std::uint64_t* out, std::span<const std::uint64_t* const> key,
                          const std::uint64_t* plus) {
        kSumProducts(out, products.digits.data(), key.data(), key.size(), n, m);
        if (plus == nullptr) return;
        const std::uint64_t* const terms[] = {out, plus};
        const std::uint64_t factors[] = {m.two_52, multiply_mod(products.factor, m.two_52, m)};
        kCombine(out, terms, factors, 2, 0, n, m);
    };
    half(out_b, products.b, products.plus_b);
    half(out_a, products.a, products.plus_a);
}

inline void permute_generic(std::uint64_t* out, const std::uint64_t* a,
                            const Automorphism& automorphism) {
    for (std::size_t block = 0; block < automorphism.source.size(); ++block) {
        const std::uint32_t source = automorphism.source[block];
        const std::uint64_t* from = a + 8 * (source >> 3);
        const std::uint64_t* lane = automorphism.lanes[source & 7].data();
        for (std::size_t i = 0; i < 8; ++i) out[8 * block + i] = from[lane[i]];
    }
}

// Each word gives one sample: its lowest bit the sign, the other 63 bits the magnitude, which is
// the number of table entries above them. Every entry is compared for every sample.
inline void gaussian_generic(std::int32_t* out, const std::uint64_t* uniform, std::size_t n) {
    constexpr std::size_t kLanes = 8;
    for (std::size_t i = 0; i < n; i += kLanes) {
        std::int64_t magnitude[kLanes] = {};
        std::int64_t u[kLanes];
        for (std::size_t j = 0; j < kLanes; ++j) {
            u[j] = static_cast<std::int64_t>(uniform[i + j] >> 1);
        }
        for (const std::uint64_t tail : kGaussianTail) {
            // Both are below 2^63, so the sign of the difference is the comparison.
            for (std::size_t j = 0; j < kLanes; ++j) {
                magnitude[j] += static_cast<std::int64_t>(
                    static_cast<std::uint64_t>(u[j] - static_cast<std::int64_t>(tail)) >> 63);
            }
        }
        for (std::size_t j = 0; j < kLanes; ++j) {
            const auto sign = -static_cast<std::int64_t>(uniform[i + j] & 1);
            out[i + j] = static_cast<std::int32_t>((magnitude[j] ^ sign) - sign);
        }
    }
}

}  // namespace
}  // namespace strongroom::ring
