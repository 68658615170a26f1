// The only way in and out of the core for bytes: little-endian, bit-packed words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace strongroom::ring {

// Bytes of `count` words of `bits` bits each, the last byte padded with zero bits.
// Throws std::invalid_argument if bits is not from 1 to 64 or the product overflows.
std::size_t packed_bytes(std::size_t count, unsigned bits);

// Word i occupies bits [i bits, (i + 1) bits) of the output, counted from the lowest bit of the
// first byte. `out` has exactly packed_bytes(words.size(), bits) bytes; every word is below 2^bits.
void pack(std::span<std::uint8_t> out, std::span<const std::uint64_t> words, unsigned bits);

enum class UnpackFault { kLength, kRange, kPadding };

// The reverse, for bytes from a stranger: `bytes` must have exactly the right length, every word
// must be below `modulus` (bits is the modulus's bit length), and padding must be zero. Returns
// what is wrong, or nothing; on a fault `out` holds unspecified words below 2^64.
std::optional<UnpackFault> unpack(std::span<std::uint64_t> out, std::span<const std::uint8_t> bytes,
                                  std::uint64_t modulus);

}  // namespace strongroom::ring
