// Bytes of an evaluation key from a stranger: whatever they are, nothing is read beyond their end;
// what is accepted has all words below their primes and packs to the same bytes again.
//
// Input: limbs - 1 modulo 4 (one byte; 3 primes are in the chain, so one value is too many), the
// element (2 bytes), the seed (32 bytes), the packed halves.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <variant>

#include "ckks/switching_key_bytes.hpp"

using namespace strongroom;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const ckks::Parameters parameters =
        ckks::Parameters::without_security({16, {97, 193, 257}, {353}, ""});
    constexpr std::size_t kHead = 35;
    if (size < kHead) return 0;
    const std::size_t limbs = data[0] % 4 + 1u;
    std::uint16_t element;
    std::memcpy(&element, data + 1, 2);
    ring::Seed seed;
    std::memcpy(seed.data(), data + 3, seed.size());
    // A copy of exactly this length: reading beyond it is seen.
    const std::size_t length = size - kHead;
    const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[length]);
    std::memcpy(bytes.get(), data + kHead, length);
    const bool possible =
        limbs <= 3 && (element == 0 || (element % 2 == 1 && element != 1 && element < 32));
    try {
        const auto result =
            ckks::unpack_switching_key(parameters, element, limbs, seed, {bytes.get(), length});
        const bool right_length = length == ckks::packed_switching_key_bytes(parameters, limbs);
        const auto* fault = std::get_if<ring::UnpackFault>(&result);
        require(right_length == (fault == nullptr || *fault != ring::UnpackFault::kLength));
        if (fault != nullptr) return 0;
        require(possible);
        const auto& key = std::get<ckks::SwitchingKey>(result);
        for (std::size_t digit = 0; digit < key.digits(); ++digit) {
            for (std::size_t row = 0; row < limbs + 1; ++row) {
                const std::uint64_t prime = parameters.ring()->modulus(row < limbs ? row : 3).value;
                for (std::size_t i = 0; i < parameters.ring_degree(); ++i) {
                    require(key.a(digit, row)[i] < prime);
                    require(key.b(digit, row)[i] < prime);
                }
            }
        }
        const auto again = ckks::pack_switching_key(key);
        require(again.size() == length && std::memcmp(again.data(), bytes.get(), length) == 0);
    } catch (const std::invalid_argument&) {
        require(!possible);
    }
    return 0;
}
