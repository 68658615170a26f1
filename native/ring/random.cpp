#include "ring/random.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <numbers>
#include <stdexcept>

#include "ring/parallel.hpp"

#if defined(__linux__)
#include <sys/random.h>
#elif defined(__APPLE__)
#include <sys/random.h>
#include <unistd.h>
#else
#error "no source of randomness is known for this system"
#endif

namespace strongroom::ring {

void system_random(void* memory, std::size_t bytes) {
    auto* out = static_cast<std::uint8_t*>(memory);
#if defined(__linux__)
    while (bytes != 0) {
        const ssize_t got = getrandom(out, bytes, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            throw std::runtime_error("the operating system gives no randomness");
        }
        out += got;
        bytes -= static_cast<std::size_t>(got);
    }
#else
    while (bytes != 0) {
        const std::size_t part = std::min<std::size_t>(bytes, 256);
        if (getentropy(out, part) != 0) {
            throw std::runtime_error("the operating system gives no randomness");
        }
        out += part;
        bytes -= part;
    }
#endif
}

Seed random_seed() {
    Seed seed;
    system_random(seed.data(), seed.size());
    return seed;
}

void expand_uniform_row(const Ring& ring, std::size_t prime, const Seed& seed, Purpose purpose,
                        std::uint32_t index, std::uint64_t* out) {
    static_assert(std::endian::native == std::endian::little, "keystream words are little-endian");
    std::uint32_t key[8];
    std::memcpy(key, seed.data(), sizeof key);
    constexpr std::size_t kBlocks = 64;
    std::uint32_t words[16 * kBlocks];
    const std::uint32_t nonce[3] = {static_cast<std::uint32_t>(purpose),
                                    static_cast<std::uint32_t>(prime), index};
    const std::size_t n = ring.degree();
    std::size_t done = 0;
    for (std::uint32_t counter = 0; done < n; counter += kBlocks) {
        ring.kernel().chacha20(words, key, nonce, counter, kBlocks);
        done +=
            ring.kernel().accept(out + done, n - done, words, 16 * kBlocks, ring.modulus(prime));
    }
    if (purpose >= Purpose::kKeyPart) {
        wipe(key, sizeof key);
        wipe(words, sizeof words);
    }
}

void expand_words(const Kernel& kernel, const Seed& seed, Purpose purpose, std::uint32_t index,
                  std::span<std::uint64_t> out) {
    std::uint32_t key[8];
    std::memcpy(key, seed.data(), sizeof key);
    constexpr std::size_t kBlocks = 64;
    constexpr std::size_t kWords = 8 * kBlocks;
    std::uint32_t words[2 * kWords];
    const std::uint32_t nonce[3] = {static_cast<std::uint32_t>(purpose), 0, index};
    for (std::size_t done = 0; done < out.size(); done += kWords) {
        const auto counter = static_cast<std::uint32_t>(done / 8);
        kernel.chacha20(words, key, nonce, counter, kBlocks);
        std::memcpy(out.data() + done, words, 8 * std::min(kWords, out.size() - done));
    }
    wipe(key, sizeof key);
    wipe(words, sizeof words);
}

Polynomial expand_uniform(const RingPointer& ring, std::size_t limbs, const Seed& seed,
                          Purpose purpose, std::uint32_t index, Extent extent) {
    Polynomial result = Polynomial::unset(ring, limbs, Form::kValues, extent);
    parallel_for(result.rows(), [&](std::size_t i) {
        expand_uniform_row(*ring, result.prime(i), seed, purpose, index, result.row(i));
    });
    return result;
}

Secret<std::int32_t> sample_ternary(std::size_t n) {
    Secret<std::int32_t> result(n);
    Secret<std::uint8_t> bytes(n + n / 64 + 16);
    std::size_t done = 0;
    while (done < n) {
        system_random(bytes.data(), bytes.size());
        for (std::size_t i = 0; i < bytes.size() && done < n; ++i) {
            // 255 = 3 * 85: bytes below 255 are uniform modulo 3, and whether a byte is 255 says
            // nothing of the others. (171 b) >> 9 is b / 3 for all bytes.
            const std::uint32_t b = bytes[i];
            result[done] = static_cast<std::int32_t>(b - 3 * ((171 * b) >> 9)) - 1;
            done += b != 255 ? 1 : 0;
        }
    }
    return result;
}

Secret<std::int32_t> sample_error(std::size_t n, const Kernel& kernel) {
    if (n % 8 != 0) throw std::invalid_argument("errors are sampled in multiples of 8");
    Secret<std::uint64_t> uniform(n);
    system_random(uniform.data(), n * sizeof(std::uint64_t));
    Secret<std::int32_t> result(n);
    kernel.gaussian(result.data(), uniform.data(), n);
    return result;
}

Flood flood_from_uniform(std::span<const std::uint64_t> uniform, double log_sigma) {
    if (!(log_sigma >= 0.0 && log_sigma <= kMaxLogFlood)) {
        throw std::invalid_argument("the flooding is out of bounds");
    }
    const std::size_t n = uniform.size() / 6 * 2;
    Flood flood{static_cast<unsigned>(std::max(0.0, std::ceil(log_sigma) - 40.0)),
                Secret<std::int64_t>(n), Secret<std::uint64_t>(n)};
    const double sigma = std::exp2(log_sigma - flood.shift);
    const std::uint64_t mask = flood.shift == 0 ? 0 : ~std::uint64_t{0} >> (64 - flood.shift);
    for (std::size_t i = 0; i < n; i += 2) {
        const std::uint64_t* u = uniform.data() + 3 * i;
        // The logarithm of a uniform number in (0, 1), exact to a double at both ends: doubles near
        // zero carry 64 bits, so that the tail reaches beyond 9 sigma, and where the number is near
        // one it is taken from its distance to one, or small radii would lie on few circles. Both
        // are computed and one is selected.
        const double below = (static_cast<double>(u[0]) + 0.5) * 0x1p-64;
        const double above = (static_cast<double>(~u[0]) + 0.5) * 0x1p-64;
        const double choices[2] = {std::log(below), std::log1p(-std::min(above, 0.5))};
        const double upper = static_cast<double>(u[0] >> 63);
        const double logarithm = choices[0] * (1.0 - upper) + choices[1] * upper;
        const double angle = 2.0 * std::numbers::pi * static_cast<double>(u[1] >> 11) * 0x1p-53;
        const double radius = std::sqrt(-2.0 * logarithm) * sigma;
        flood.high[i] = std::llround(radius * std::cos(angle));
        flood.high[i + 1] = std::llround(radius * std::sin(angle));
        for (std::size_t j = 0; j < 2; ++j) {
            const std::uint64_t sum = (u[2 + 2 * j] & mask) + (u[3 + 2 * j] & mask);
            flood.low[i + j] = sum & mask;
            flood.high[i + j] += static_cast<std::int64_t>(sum >> flood.shift);
        }
    }
    return flood;
}

Flood sample_flood(std::size_t n, double log_sigma) {
    Secret<std::uint64_t> uniform((n + 1) / 2 * 6);
    system_random(uniform.data(), uniform.size() * sizeof(std::uint64_t));
    return flood_from_uniform(uniform, log_sigma);
}

void add_flood(Polynomial& polynomial, std::span<const std::uint32_t> positions,
               const Flood& flood) {
    if (polynomial.form() != Form::kCoefficients || flood.high.size() < positions.size()) {
        throw std::invalid_argument("flooding adds one value to each of some coefficients");
    }
    for (const std::uint32_t position : positions) {
        if (position >= polynomial.degree()) throw std::invalid_argument("no such coefficient");
    }
    for (std::size_t l = 0; l < polynomial.limbs(); ++l) {
        const Modulus& m = polynomial.ring().modulus(l);
        const std::uint64_t scale = power_mod(2, flood.shift, m);
        std::uint64_t* out = polynomial.row(l);
        for (std::size_t i = 0; i < positions.size(); ++i) {
            const std::int64_t sign = flood.high[i] >> 63;
            const std::uint64_t magnitude =
                reduce_any(static_cast<std::uint64_t>((flood.high[i] ^ sign) - sign), m);
            const std::uint64_t negative = reduce_once(m.value - magnitude, m.value);
            const auto mask = static_cast<std::uint64_t>(sign);
            const std::uint64_t high = (magnitude & ~mask) | (negative & mask);
            const std::uint64_t value =
                add_mod(multiply_mod(high, scale, m), reduce_any(flood.low[i], m), m);
            std::uint64_t& coefficient = out[positions[i]];
            coefficient = add_mod(coefficient, value, m);
        }
    }
}

}  // namespace strongroom::ring
