#include "ring/bitpack.hpp"

#include <bit>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace strongroom::ring {

static_assert(std::endian::native == std::endian::little);

std::size_t packed_bytes(std::size_t count, unsigned bits) {
    if (bits == 0 || bits > 64) throw std::invalid_argument("a packed word has 1 to 64 bits");
    if (count > (std::numeric_limits<std::size_t>::max() - 7) / bits) {
        throw std::invalid_argument("too many words to pack");
    }
    return (count * bits + 7) / 8;
}

void pack(std::span<std::uint8_t> out, std::span<const std::uint64_t> words, unsigned bits) {
    if (out.size() != packed_bytes(words.size(), bits)) {
        throw std::invalid_argument("the output has another length than the packed words");
    }
    unsigned __int128 pending = 0;
    unsigned held = 0;
    std::size_t at = 0;
    for (const std::uint64_t word : words) {
        pending |= static_cast<unsigned __int128>(word) << held;
        held += bits;
        if (held >= 64) {
            const auto full = static_cast<std::uint64_t>(pending);
            std::memcpy(out.data() + at, &full, 8);
            at += 8;
            pending >>= 64;
            held -= 64;
        }
    }
    for (; at < out.size(); ++at, pending >>= 8) out[at] = static_cast<std::uint8_t>(pending);
}

std::optional<UnpackFault> unpack(std::span<std::uint64_t> out, std::span<const std::uint8_t> bytes,
                                  std::uint64_t modulus) {
    const auto bits = static_cast<unsigned>(std::bit_width(modulus));
    if (bytes.size() != packed_bytes(out.size(), bits)) return UnpackFault::kLength;
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - bits);
    unsigned __int128 pending = 0;
    unsigned held = 0;
    std::size_t at = 0;
    bool in_range = true;
    for (std::uint64_t& word : out) {
        if (held < bits) {
            std::uint64_t next = 0;
            const std::size_t take = bytes.size() - at < 8 ? bytes.size() - at : 8;
            std::memcpy(&next, bytes.data() + at, take);
            at += take;
            pending |= static_cast<unsigned __int128>(next) << held;
            held += static_cast<unsigned>(8 * take);
        }
        word = static_cast<std::uint64_t>(pending) & mask;
        in_range &= word < modulus;
        pending >>= bits;
        held -= bits;
    }
    if (!in_range) return UnpackFault::kRange;
    if (pending != 0) return UnpackFault::kPadding;
    return std::nullopt;
}

}  // namespace strongroom::ring
