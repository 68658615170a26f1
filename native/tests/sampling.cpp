// Randomness: the keystream of the standard, samples in their ranges, floods where they belong.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "check.hpp"
#include "primes.hpp"
#include "ring/random.hpp"

using namespace strongroom;
using namespace strongroom::tests;

namespace {

// RFC 8439, section 2.3.2.
void chacha20_is_that_of_the_rfc(const ring::Kernel& kernel) {
    std::uint32_t key[8];
    std::uint8_t bytes[32];
    for (std::uint8_t i = 0; i < 32; ++i) bytes[i] = i;
    std::memcpy(key, bytes, 32);
    const std::uint32_t nonce[3] = {0x09000000, 0x4a000000, 0};
    const std::uint32_t expected[16] = {0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3,
                                        0xc7f4d1c7, 0x0368c033, 0x9aaa2204, 0x4e6cd4c3,
                                        0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
                                        0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
    for (std::size_t blocks = 1; blocks <= 40; ++blocks) {
        // Ends exactly after the last block.
        std::vector<std::uint32_t> out(16 * blocks);
        kernel.chacha20(out.data(), key, nonce, 1, blocks);
        CHECK(std::equal(expected, expected + 16, out.begin()));
        std::vector<std::uint32_t> last(16);
        kernel.chacha20(last.data(), key, nonce, static_cast<std::uint32_t>(blocks), 1);
        CHECK(std::equal(last.begin(), last.end(), out.end() - 16));
    }
}

void samples_are_in_range(const ring::Kernel& kernel) {
    for (const std::size_t n : {0, 1, 7, 8, 255, 4096}) {
        const auto ternary = ring::sample_ternary(n);
        CHECK(ternary.size() == n);
        for (const std::int32_t x : ternary) CHECK(-1 <= x && x <= 1);
    }
    for (const std::size_t n : {0, 8, 16, 4096}) {
        const auto error = ring::sample_error(n, kernel);
        CHECK(error.size() == n);
        for (const std::int32_t x : error) CHECK(-29 <= x && x <= 29);
    }
    THROWS(ring::sample_error(9, kernel), std::invalid_argument);
    for (unsigned bits = 16; bits <= 50; bits += 2) {
        const auto primes = primes_below(64, bits, 1);
        const auto ring = std::make_shared<const ring::Ring>(
            64, primes, std::vector<std::uint64_t>{}, kernel.name);
        ring::Seed seed = ring::random_seed();
        const auto a = ring::expand_uniform(ring, 1, seed, ring::Purpose::kCiphertext);
        const auto b = ring::expand_uniform(ring, 1, seed, ring::Purpose::kCiphertext);
        CHECK(std::equal(a.row(0), a.row(0) + 64, b.row(0)));
        for (std::size_t i = 0; i < 64; ++i) CHECK(a.row(0)[i] < primes[0]);
    }
}

void floods_are_added_where_they_belong() {
    const auto primes = chain(16, {50, 40, 21});
    const auto ring =
        std::make_shared<const ring::Ring>(16, primes, std::vector<std::uint64_t>{}, "");
    for (const double log_sigma : {0.0, 3.5, 40.0, 40.5, 63.0, 64.0, 99.9, 100.0}) {
        for (std::uint32_t count = 0; count <= 16; ++count) {
            std::vector<std::uint32_t> positions(count);
            for (std::uint32_t i = 0; i < count; ++i) positions[i] = 15 - i;
            const ring::Flood flood = ring::sample_flood(count, log_sigma);
            CHECK(flood.high.size() >= count && flood.low.size() >= count);
            ring::Polynomial polynomial(ring, 3, ring::Form::kCoefficients);
            ring::add_flood(polynomial, positions, flood);
            for (std::size_t l = 0; l < 3; ++l) {
                const auto q = static_cast<__int128>(primes[l]);
                for (std::size_t i = 0; i < 16; ++i) {
                    // Position p carries value 15 - p, if there are as many.
                    const std::size_t k = 15 - i;
                    __int128 expected = 0;
                    if (k < count) {
                        const __int128 unit = static_cast<__int128>(1) << flood.shift;
                        const __int128 value =
                            static_cast<__int128>(flood.high[k]) * unit + flood.low[k];
                        expected = ((value % q) + q) % q;
                    }
                    CHECK(static_cast<__int128>(polynomial.row(l)[i]) == expected);
                }
            }
        }
    }
    for (const double log_sigma : {-0.01, 100.01, static_cast<double>(NAN), HUGE_VAL}) {
        THROWS(ring::sample_flood(1, log_sigma), std::invalid_argument);
    }
    ring::Polynomial polynomial(ring, 3, ring::Form::kCoefficients);
    for (const std::uint32_t outside : {16u, 48u, ~0u}) {
        const std::vector<std::uint32_t> positions = {0, outside};
        THROWS(ring::add_flood(polynomial, positions, ring::sample_flood(2, 4)),
               std::invalid_argument);
    }
    const std::vector<std::uint32_t> positions = {0, 1, 2, 3};
    THROWS(ring::add_flood(polynomial, positions, ring::sample_flood(1, 4)), std::invalid_argument);
    polynomial.to_values();
    THROWS(ring::add_flood(polynomial, positions, ring::sample_flood(4, 4)), std::invalid_argument);
}

}  // namespace

int main() {
    for (const auto name : ring::available_kernels()) {
        const ring::Kernel& kernel = ring::kernel_by_name(name);
        chacha20_is_that_of_the_rfc(kernel);
        samples_are_in_range(kernel);
    }
    floods_are_added_where_they_belong();
}
