// Switching keys as they travel: the halves b_d, digit after digit and row after row, bit-packed;
// the halves a_d are in a seed (docs/reference/format.md).
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "ckks/switching_keys.hpp"
#include "ring/bitpack.hpp"

namespace strongroom::ckks {

// Bytes of the halves b_d of a key. Throws std::invalid_argument as SwitchingKey::size does.
std::size_t packed_switching_key_bytes(const Parameters& parameters, std::size_t limbs);

// The halves b_d.
std::vector<std::uint8_t> pack_switching_key(const SwitchingKey& key);

// The key of these bytes, which may be a stranger's: their length is checked before anything is
// allocated, and every value against its prime. Throws std::invalid_argument if there can be no key
// of this element and limbs.
std::variant<SwitchingKey, ring::UnpackFault> unpack_switching_key(
    const Parameters& parameters, std::uint64_t element, std::size_t limbs, const ring::Seed& seed,
    std::span<const std::uint8_t> bytes);

}  // namespace strongroom::ckks
