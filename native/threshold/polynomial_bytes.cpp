#include "threshold/polynomial_bytes.hpp"

#include <stdexcept>

namespace strongroom::threshold {

std::size_t packed_bytes(const ring::Ring& ring, std::size_t limbs, ring::Extent extent) {
    if (limbs == 0 || limbs > ring.limbs()) {
        throw std::invalid_argument("the number of limbs is not in the chain");
    }
    std::size_t total = 0;
    for (std::size_t prime = 0; prime < ring.primes(); ++prime) {
        if (prime >= limbs && (prime < ring.limbs() || extent == ring::Extent::kData)) continue;
        total += ring::packed_bytes(ring.degree(), ring.modulus(prime).bits);
    }
    return total;
}

void append_packed(std::vector<std::uint8_t>& out, const ring::Polynomial& polynomial) {
    std::size_t at = out.size();
    out.resize(at + packed_bytes(polynomial.ring(), polynomial.limbs(), polynomial.extent()));
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        const unsigned bits = polynomial.modulus(row).bits;
        const std::size_t size = ring::packed_bytes(polynomial.degree(), bits);
        ring::pack({out.data() + at, size}, {polynomial.row(row), polynomial.degree()}, bits);
        at += size;
    }
}

std::optional<ring::UnpackFault> unpack_into(ring::Polynomial& polynomial,
                                             std::span<const std::uint8_t> bytes) {
    if (bytes.size() != packed_bytes(polynomial.ring(), polynomial.limbs(), polynomial.extent())) {
        return ring::UnpackFault::kLength;
    }
    std::size_t at = 0;
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        const ring::Modulus& m = polynomial.modulus(row);
        const std::size_t size = ring::packed_bytes(polynomial.degree(), m.bits);
        const auto fault = ring::unpack({polynomial.row(row), polynomial.degree()},
                                        bytes.subspan(at, size), m.value);
        if (fault) return fault;
        at += size;
    }
    return std::nullopt;
}

std::variant<ring::Polynomial, ring::UnpackFault> unpack_second_part(
    const ring::RingPointer& ring, std::size_t limbs, std::span<const std::uint8_t> bytes) {
    // Before anything is allocated for it.
    if (bytes.size() != packed_bytes(*ring, limbs, ring::Extent::kData)) {
        return ring::UnpackFault::kLength;
    }
    ring::Polynomial c1 = ring::Polynomial::unset(ring, limbs, ring::Form::kCoefficients);
    if (const auto fault = unpack_into(c1, bytes)) return *fault;
    return c1;
}

}  // namespace strongroom::threshold
