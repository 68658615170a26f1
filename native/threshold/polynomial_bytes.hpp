// Polynomials as they travel between key holders: row after row, each bit-packed at its prime's
// length and padded to a byte.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "ring/bitpack.hpp"
#include "ring/ring.hpp"

namespace strongroom::threshold {

// Bytes of one polynomial. Throws std::invalid_argument if `limbs` is not in the ring's chain.
std::size_t packed_bytes(const ring::Ring& ring, std::size_t limbs, ring::Extent extent);

// Appends a polynomial as it lies, in either form.
void append_packed(std::vector<std::uint8_t>& out, const ring::Polynomial& polynomial);

// The reverse, into a polynomial's own rows, of bytes that may be a stranger's: their length and
// every word are checked. On a fault the polynomial holds unspecified words.
std::optional<ring::UnpackFault> unpack_into(ring::Polynomial& polynomial,
                                             std::span<const std::uint8_t> bytes);

// The second polynomial of a result, in coefficient form; or what is wrong with its bytes.
std::variant<ring::Polynomial, ring::UnpackFault> unpack_second_part(
    const ring::RingPointer& ring, std::size_t limbs, std::span<const std::uint8_t> bytes);

}  // namespace strongroom::threshold
