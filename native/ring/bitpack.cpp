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
    // A word of up to 56 bits lies within the eight bytes from its first byte on. Near the end of
    // the input, where eight bytes would reach beyond it, words are put together from single bytes.
    const std::size_t safe = bits <= 56 && bytes.size() >= 8 ? (bytes.size() - 8) * 8 / bits : 0;
    std::size_t i = 0;
    std::uint64_t outside = 0;
    for (; i < out.size() && i < safe; ++i) {
        const std::size_t at = i * bits;
        std::uint64_t window;
        std::memcpy(&window, bytes.data() + at / 8, 8);
        const std::uint64_t word = (window >> (at % 8)) & mask;
        outside |= static_cast<std::uint64_t>(word >= modulus);
        out[i] = word;
    }
    for (; i < out.size(); ++i) {
        std::uint64_t word = 0;
        for (unsigned taken = 0; taken < bits;) {
            const std::size_t at = i * bits + taken;
            const unsigned within = static_cast<unsigned>(at % 8);
            word |= static_cast<std::uint64_t>(bytes[at / 8] >> within) << taken;
            taken += 8 - within;
        }
        word &= mask;
        outside |= static_cast<std::uint64_t>(word >= modulus);
        out[i] = word;
    }
    if (outside != 0) return UnpackFault::kRange;
    const unsigned padding = static_cast<unsigned>(bytes.size() * 8 - out.size() * bits);
    if (padding != 0 && bytes.back() >> (8 - padding) != 0) return UnpackFault::kPadding;
    return std::nullopt;
}

}  // namespace strongroom::ring
