// Bit packing: every width and many lengths, in buffers that end where the data ends.
#include <bit>
#include <limits>
#include <memory>
#include <stdexcept>

#include "check.hpp"
#include "ring/bitpack.hpp"

using namespace strongroom;
using namespace strongroom::tests;

namespace {

// A buffer of exactly `size` bytes on the heap: one byte too far is an error of the sanitizer.
struct Bytes {
    std::unique_ptr<std::uint8_t[]> data;
    std::size_t size;
    explicit Bytes(std::size_t n) : data(new std::uint8_t[n]()), size(n) {}
    std::span<std::uint8_t> span() { return {data.get(), size}; }
};

bool bit_at(const Bytes& bytes, std::size_t i) {
    return (bytes.data[i / 8] >> (i % 8)) & 1;
}

void round_trip(Generator& generator, std::size_t count, unsigned bits) {
    const std::uint64_t top = std::uint64_t{1} << (bits - 1);
    const std::uint64_t modulus = bits == 1 ? 1 : top + 1 + generator() % (top - 1);
    for (const std::uint64_t below : {modulus, std::uint64_t{1}}) {
        Words words = random_words(generator, count, below);
        if (count > 0 && below == modulus) words[count - 1] = modulus - 1;
        Bytes bytes(ring::packed_bytes(count, bits));
        CHECK(bytes.size == (count * bits + 7) / 8);
        ring::pack(bytes.span(), words, bits);
        for (std::size_t i = 0; i < count * bits; ++i) {
            CHECK(bit_at(bytes, i) == ((words[i / bits] >> (i % bits)) & 1));
        }
        for (std::size_t i = count * bits; i < 8 * bytes.size; ++i) CHECK(!bit_at(bytes, i));
        Words again(count);
        CHECK(!ring::unpack(again, bytes.span(), modulus));
        CHECK(again == words);

        for (const std::size_t other : {bytes.size + 1, bytes.size + 8, bytes.size - 1}) {
            if (other > bytes.size + 8) continue;
            Bytes wrong(other);
            CHECK(ring::unpack(again, wrong.span(), modulus) == ring::UnpackFault::kLength);
        }
        if (count == 0) continue;
        if (count * bits % 8 != 0) {
            bytes.data[bytes.size - 1] |= 0x80;
            CHECK(ring::unpack(again, bytes.span(), modulus) == ring::UnpackFault::kPadding);
            bytes.data[bytes.size - 1] &= 0x7f;
        }
        if (!std::has_single_bit(modulus + 1) && bits > 1) {
            const std::size_t at = generator() % count;
            for (std::size_t i = at * bits; i < (at + 1) * bits; ++i) {
                bytes.data[i / 8] |= static_cast<std::uint8_t>(1u << (i % 8));
            }
            CHECK(ring::unpack(again, bytes.span(), modulus) == ring::UnpackFault::kRange);
        }
    }
}

}  // namespace

int main() {
    Generator generator(1);
    for (unsigned bits = 1; bits <= 64; ++bits) {
        for (std::size_t count = 0; count <= 40; ++count) round_trip(generator, count, bits);
        round_trip(generator, 4096, bits);
    }
    const std::size_t huge = std::numeric_limits<std::size_t>::max();
    THROWS(ring::packed_bytes(1, 0), std::invalid_argument);
    THROWS(ring::packed_bytes(1, 65), std::invalid_argument);
    THROWS(ring::packed_bytes(huge / 8, 9), std::invalid_argument);
    THROWS(ring::packed_bytes(huge, 1), std::invalid_argument);
    Bytes short_one(7);
    const Words word(1);
    THROWS(ring::pack(short_one.span(), word, 64), std::invalid_argument);
}
