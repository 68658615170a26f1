#include "ring/modulus.hpp"

#include <array>
#include <stdexcept>

namespace strongroom::ring {

namespace {

std::uint64_t multiply_wide(std::uint64_t a, std::uint64_t b, std::uint64_t n) {
    return static_cast<std::uint64_t>(static_cast<uint128>(a) * b % n);
}

std::uint64_t power_wide(std::uint64_t base, std::uint64_t exponent, std::uint64_t n) {
    std::uint64_t result = 1 % n;
    for (base %= n; exponent != 0; exponent >>= 1) {
        if (exponent & 1) result = multiply_wide(result, base, n);
        base = multiply_wide(base, base, n);
    }
    return result;
}

}  // namespace

std::uint64_t power_mod(std::uint64_t base, std::uint64_t exponent, const Modulus& m) {
    return power_wide(base, exponent, m.value);
}

std::uint64_t inverse_mod(std::uint64_t a, const Modulus& m) {
    return power_mod(a, m.value - 2, m);
}

bool is_prime(std::uint64_t n) {
    if (n < 2) return false;
    for (std::uint64_t p :
         {2ULL, 3ULL, 5ULL, 7ULL, 11ULL, 13ULL, 17ULL, 19ULL, 23ULL, 29ULL, 31ULL, 37ULL}) {
        if (n % p == 0) return n == p;
    }
    const int twos = std::countr_zero(n - 1);
    const std::uint64_t odd = (n - 1) >> twos;
    constexpr std::array<std::uint64_t, 7> bases = {2,      325,     9375,      28178,
                                                    450775, 9780504, 1795265022};
    for (std::uint64_t base : bases) {
        std::uint64_t x = power_wide(base, odd, n);
        if (base % n == 0 || x == 1 || x == n - 1) continue;
        bool composite = true;
        for (int i = 1; i < twos && composite; ++i) {
            x = multiply_wide(x, x, n);
            composite = x != n - 1;
        }
        if (composite) return false;
    }
    return true;
}

std::uint64_t primitive_root(std::uint64_t two_n, const Modulus& m) {
    const std::uint64_t q = m.value;
    if ((q - 1) % two_n != 0) {
        throw std::invalid_argument("the modulus is not 1 modulo twice the ring degree");
    }
    // For a power of two, g^((q-1)/2N) is primitive exactly if its N-th power is -1.
    std::uint64_t root = 0;
    for (std::uint64_t g = 2; root == 0; ++g) {
        const std::uint64_t candidate = power_mod(g, (q - 1) / two_n, m);
        if (power_mod(candidate, two_n / 2, m) == q - 1) root = candidate;
    }
    // All primitive roots are the odd powers of one.
    const std::uint64_t square = multiply_mod(root, root, m);
    std::uint64_t smallest = root;
    for (std::uint64_t i = 1; i < two_n / 2; ++i) {
        root = multiply_mod(root, square, m);
        if (root < smallest) smallest = root;
    }
    return smallest;
}

}  // namespace strongroom::ring
