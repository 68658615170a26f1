#include "ckks/switching_key_bytes.hpp"

#include <utility>

namespace strongroom::ckks {

namespace {

// Modulus of a row, of `limbs` data primes and all special ones.
const ring::Modulus& modulus_of_row(const ring::Ring& ring, std::size_t limbs, std::size_t row) {
    return ring.modulus(row < limbs ? row : row - limbs + ring.limbs());
}

std::size_t digit_bytes(const ring::Ring& ring, std::size_t limbs) {
    std::size_t total = 0;
    for (std::size_t row = 0; row < limbs + ring.special_limbs(); ++row) {
        total += ring::packed_bytes(ring.degree(), modulus_of_row(ring, limbs, row).bits);
    }
    return total;
}

std::size_t rows_of(const Parameters& parameters, std::size_t limbs) {
    return limbs + parameters.ring()->special_limbs();
}

std::size_t digits_of(const Parameters& parameters, std::size_t limbs) {
    std::size_t digits = 1;
    while (parameters.digit_ends()[digits - 1] < limbs) ++digits;
    return digits;
}

}  // namespace

std::size_t packed_switching_key_bytes(const Parameters& parameters, std::size_t limbs) {
    SwitchingKey::size(parameters, limbs);  // throws if there is no such key
    return digits_of(parameters, limbs) * digit_bytes(*parameters.ring(), limbs);
}

std::vector<std::uint8_t> pack_switching_key(const SwitchingKey& key) {
    const ring::Ring& ring = *key.ring();
    const std::size_t n = ring.degree();
    const std::size_t rows = key.limbs() + ring.special_limbs();
    std::vector<std::uint8_t> out(key.digits() * digit_bytes(ring, key.limbs()));
    std::size_t at = 0;
    for (std::size_t digit = 0; digit < key.digits(); ++digit) {
        for (std::size_t row = 0; row < rows; ++row) {
            const unsigned bits = modulus_of_row(ring, key.limbs(), row).bits;
            const std::size_t size = ring::packed_bytes(n, bits);
            ring::pack({out.data() + at, size}, {key.b(digit, row), n}, bits);
            at += size;
        }
    }
    return out;
}

std::variant<SwitchingKey, ring::UnpackFault> unpack_switching_key(
    const Parameters& parameters, std::uint64_t element, std::size_t limbs, const ring::Seed& seed,
    std::span<const std::uint8_t> bytes) {
    if (bytes.size() != packed_switching_key_bytes(parameters, limbs)) {
        return ring::UnpackFault::kLength;
    }
    const ring::Ring& ring = *parameters.ring();
    const std::size_t n = ring.degree();
    const std::size_t rows = rows_of(parameters, limbs);
    const std::size_t digits = digits_of(parameters, limbs);
    // Zero, for what is between rows; a row begins at each multiple of `stride`.
    ring::Words words(SwitchingKey::size(parameters, limbs), 0);
    const std::size_t stride = words.size() / (2 * digits * rows);
    std::size_t at = 0;
    for (std::size_t digit = 0; digit < digits; ++digit) {
        for (std::size_t row = 0; row < rows; ++row) {
            const ring::Modulus& m = modulus_of_row(ring, limbs, row);
            const std::size_t size = ring::packed_bytes(n, m.bits);
            const auto fault = ring::unpack({words.data() + (2 * digit * rows + row) * stride, n},
                                            bytes.subspan(at, size), m.value);
            if (fault) return *fault;
            at += size;
        }
    }
    return SwitchingKey::restore(parameters, element, limbs, seed, std::move(words));
}

}  // namespace strongroom::ckks
