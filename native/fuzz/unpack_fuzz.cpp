// The only way in for bytes: whatever they are, `unpack` reads no further than it may, and what it
// accepts is below the modulus and packs to the same bytes again.
//
// Input: the modulus (8 bytes), the number of words (2 bytes), the packed bytes.
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "ring/bitpack.hpp"

using namespace strongroom;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 10) return 0;
    std::uint64_t modulus;
    std::uint16_t count;
    std::memcpy(&modulus, data, 8);
    std::memcpy(&count, data + 8, 2);
    if (modulus == 0) return 0;
    const std::size_t length = size - 10;
    // A copy of exactly this length: reading beyond it is seen.
    const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[length]);
    std::memcpy(bytes.get(), data + 10, length);
    std::vector<std::uint64_t> words(count);
    const auto fault = ring::unpack(words, {bytes.get(), length}, modulus);

    const auto bits = static_cast<unsigned>(std::bit_width(modulus));
    const bool right_length = length == (std::size_t{count} * bits + 7) / 8;
    require(right_length == (fault != ring::UnpackFault::kLength));
    if (fault) return 0;
    for (const std::uint64_t word : words) require(word < modulus);
    std::vector<std::uint8_t> again(length);
    ring::pack(again, words, bits);
    require(length == 0 || std::memcmp(again.data(), bytes.get(), length) == 0);
    return 0;
}
