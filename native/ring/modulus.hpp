// Word arithmetic modulo one prime below 2^50.
//
// The bound leaves two spare bits in the 52-bit lanes of AVX-512 IFMA, so that transforms may hold
// values up to 4q without reduction (Harvey, "Faster arithmetic for number-theoretic transforms",
// 2014). Every kernel uses the same constants.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace strongroom::ring {

using uint128 = unsigned __int128;

inline constexpr unsigned kMaxModulusBits = 50;

inline constexpr std::uint64_t kMask52 = (std::uint64_t{1} << 52) - 1;

// -1/q mod 2^52 for odd q. Newton's iteration doubles the correct bits; q is its own inverse mod 8.
constexpr std::uint64_t minus_inverse_52(std::uint64_t q) {
    std::uint64_t inverse = q;
    for (int i = 0; i < 5; ++i) inverse *= 2 - q * inverse;
    return (0 - inverse) & kMask52;
}

// A prime q and the constants of its Barrett and Montgomery reductions.
struct Modulus {
    std::uint64_t value = 0;
    unsigned bits = 0;               // bit length of q
    std::uint64_t barrett = 0;       // floor(2^(50 + bits) / q) < 2^52, for products below q^2
    std::uint64_t word_barrett = 0;  // floor(2^52 / q), for words below 2^52
    std::uint64_t two_32 = 0;        // 2^32 mod q
    std::uint64_t multiple = 0;      // of q: the least that is at least 2^51, below 2^51 + 2^50
    std::uint64_t montgomery = 0;    // -1/q mod 2^52
    std::uint64_t two_52 = 0;        // 2^52 mod q,
    std::uint64_t two_52_shoup = 0;  // with its Shoup constant

    Modulus() = default;
    explicit Modulus(std::uint64_t q)
        : value(q),
          bits(static_cast<unsigned>(std::bit_width(q))),
          barrett(static_cast<std::uint64_t>((uint128{1} << (50 + bits)) / q)),
          word_barrett((std::uint64_t{1} << 52) / q),
          two_32((std::uint64_t{1} << 32) % q),
          multiple(((std::uint64_t{1} << 51) + q - 1) / q * q),
          montgomery(minus_inverse_52(q)),
          two_52((std::uint64_t{1} << 52) % q),
          two_52_shoup(static_cast<std::uint64_t>((static_cast<uint128>(two_52) << 64) / q)) {}

    // How many products of two residues `sum_products` may add up before it reduces: their sum S
    // must leave S / 2^52 + q below 2^52, and their lower halves, of 52 bits each, with another one
    // must fit into a word. At least 12.
    std::size_t products_before_reduction() const {
        return static_cast<std::size_t>(
            std::min<uint128>(((uint128{1} << 52) - value) * (uint128{1} << 52) /
                                  (static_cast<uint128>(value) * value + 1),
                              (1u << 12) - 2));
    }
};

// min(x, x - q) on unsigned words is x mod q for x < 2q, without a branch.
inline std::uint64_t reduce_once(std::uint64_t x, std::uint64_t q) {
    const std::uint64_t y = x - q;
    return y < x ? y : x;
}

inline std::uint64_t add_mod(std::uint64_t a, std::uint64_t b, const Modulus& m) {
    return reduce_once(a + b, m.value);
}

inline std::uint64_t subtract_mod(std::uint64_t a, std::uint64_t b, const Modulus& m) {
    return reduce_once(a + m.value - b, m.value);
}

// Barrett reduction of c = a b < q^2. With n = bits, c1 = floor(c / 2^(n-2)) < 2^52 and
// floor(c1 barrett / 2^52) lies in (c/q - 3, c/q], so the remainder is below 4q.
inline std::uint64_t multiply_mod(std::uint64_t a, std::uint64_t b, const Modulus& m) {
    const uint128 c = static_cast<uint128>(a) * b;
    const auto c1 = static_cast<std::uint64_t>(c >> (m.bits - 2));
    const auto quotient = static_cast<std::uint64_t>((static_cast<uint128>(c1) * m.barrett) >> 52);
    const std::uint64_t r = static_cast<std::uint64_t>(c) - quotient * m.value;
    return reduce_once(reduce_once(r, 2 * m.value), m.value);
}

// x mod q for x < 2^52.
inline std::uint64_t reduce_word(std::uint64_t x, const Modulus& m) {
    const auto quotient =
        static_cast<std::uint64_t>((static_cast<uint128>(x) * m.word_barrett) >> 52);
    return reduce_once(x - quotient * m.value, m.value);
}

// x mod q for any word, without a division (whose time may depend on x).
inline std::uint64_t reduce_any(std::uint64_t x, const Modulus& m) {
    const std::uint64_t high = multiply_mod(reduce_word(x >> 32, m), m.two_32, m);
    return add_mod(high, reduce_word(x & 0xffffffff, m), m);
}

// x mod q for 128 bits.
inline std::uint64_t reduce_wide(uint128 x, const Modulus& m) {
    const std::uint64_t two_64 = multiply_mod(m.two_32, m.two_32, m);
    const std::uint64_t high = reduce_any(static_cast<std::uint64_t>(x >> 64), m);
    return add_mod(multiply_mod(high, two_64, m), reduce_any(static_cast<std::uint64_t>(x), m), m);
}

// c / 2^52 mod q up to some q (Montgomery 1985): the result is below c / 2^52 + q.
inline std::uint64_t montgomery_lazy(uint128 c, const Modulus& m) {
    const std::uint64_t factor = (static_cast<std::uint64_t>(c) * m.montgomery) & kMask52;
    return static_cast<std::uint64_t>((c + static_cast<uint128>(factor) * m.value) >> 52);
}

// Shoup's constant for a fixed factor w: floor(w 2^64 / q). Its upper 52 bits are
// floor(w 2^52 / q), which is what the 52-bit lanes need.
inline std::uint64_t shoup_constant(std::uint64_t w, const Modulus& m) {
    return static_cast<std::uint64_t>((static_cast<uint128>(w) << 64) / m.value);
}

// w x mod q up to one q, for any x: the result is below 2q.
inline std::uint64_t multiply_shoup_lazy(std::uint64_t x, std::uint64_t w, std::uint64_t w_shoup,
                                         std::uint64_t q) {
    const auto quotient = static_cast<std::uint64_t>((static_cast<uint128>(x) * w_shoup) >> 64);
    return x * w - quotient * q;
}

std::uint64_t power_mod(std::uint64_t base, std::uint64_t exponent, const Modulus& m);

// Inverse modulo a prime.
std::uint64_t inverse_mod(std::uint64_t a, const Modulus& m);

// Deterministic Miller-Rabin for 64-bit words (bases of Sinclair, 2011).
bool is_prime(std::uint64_t n);

// The smallest primitive 2N-th root of unity modulo q; throws std::invalid_argument unless
// q = 1 mod 2N. Smallest, so that the order of transformed values is fixed by (N, q) alone.
std::uint64_t primitive_root(std::uint64_t two_n, const Modulus& m);

}  // namespace strongroom::ring
