#include "ring/automorphism.hpp"

#include <bit>
#include <stdexcept>

namespace strongroom::ring {

namespace {

std::uint64_t bit_reverse(std::uint64_t value, unsigned bits) {
    std::uint64_t reversed = 0;
    for (unsigned i = 0; i < bits; ++i) reversed |= ((value >> i) & 1) << (bits - 1 - i);
    return reversed;
}

}  // namespace

Automorphism::Automorphism(std::size_t n, std::uint64_t g) : degree(n), element(g) {
    if (!std::has_single_bit(n) || n < 8 || g % 2 == 0 || g >= 2 * n) {
        throw std::invalid_argument("an automorphism is an odd number below twice the ring degree");
    }
    const auto bits = static_cast<unsigned>(std::countr_zero(n)) - 3;
    source.resize(n / 8);
    for (std::uint64_t block = 0; block < n / 8; ++block) {
        const std::uint64_t exponent = g * (2 * bit_reverse(block, bits) + 1) % (2 * n);
        const std::uint64_t order = exponent / (n / 4);
        const std::uint64_t from = bit_reverse(exponent % (n / 4) / 2, bits);
        source[block] = static_cast<std::uint32_t>(8 * from + order);
    }
    for (std::uint64_t order = 0; order < 8; ++order) {
        for (std::uint64_t i = 0; i < 8; ++i) {
            lanes[order][i] = bit_reverse((order + g * bit_reverse(i, 3)) % 8, 3);
        }
    }
}

}  // namespace strongroom::ring
