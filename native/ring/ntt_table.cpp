#include "ring/ntt_table.hpp"

#include <bit>
#include <stdexcept>

namespace strongroom::ring {

namespace {

std::size_t bit_reverse(std::size_t value, unsigned bits) {
    std::size_t reversed = 0;
    for (unsigned i = 0; i < bits; ++i) reversed |= ((value >> i) & 1) << (bits - 1 - i);
    return reversed;
}

void fill_powers(std::vector<std::uint64_t>& powers, std::vector<std::uint64_t>& shoup,
                 std::size_t degree, std::uint64_t root, const Modulus& m) {
    const auto bits = static_cast<unsigned>(std::countr_zero(degree));
    powers.resize(degree);
    shoup.resize(degree);
    std::uint64_t power = 1;
    for (std::size_t i = 0; i < degree; ++i) {
        const std::size_t k = bit_reverse(i, bits);
        powers[k] = power;
        shoup[k] = shoup_constant(power, m);
        power = multiply_mod(power, root, m);
    }
}

}  // namespace

NttTable::NttTable(std::size_t n, std::uint64_t q) : degree(n) {
    if (!std::has_single_bit(n) || n < 8) {
        throw std::invalid_argument("the ring degree is not a power of two of at least 8");
    }
    if (std::bit_width(q) > static_cast<int>(kMaxModulusBits) || !is_prime(q)) {
        throw std::invalid_argument("a modulus is not a prime below 2^50");
    }
    modulus = Modulus(q);
    const std::uint64_t root = primitive_root(2 * n, modulus);
    fill_powers(roots, roots_shoup, n, root, modulus);
    fill_powers(inverse_roots, inverse_roots_shoup, n, inverse_mod(root, modulus), modulus);
    inverse_degree = inverse_mod(n, modulus);
    inverse_degree_shoup = shoup_constant(inverse_degree, modulus);
    last_inverse_root = multiply_mod(inverse_roots[1], inverse_degree, modulus);
    last_inverse_root_shoup = shoup_constant(last_inverse_root, modulus);
}

}  // namespace strongroom::ring
