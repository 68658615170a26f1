// Bytes of a secret key, from a key store that something damaged: refused with the one exception
// that is promised, or read and written again alike.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "ckks/keys.hpp"

using namespace strongroom;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const ckks::Parameters parameters =
        ckks::Parameters::without_security({64, {257, 12289, 40961}, {}, ""});
    const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[size]);
    if (size != 0) std::memcpy(bytes.get(), data, size);
    try {
        const auto key = ckks::SecretKey::from_bytes(parameters, {bytes.get(), size});
        const auto again = key.to_bytes();
        if (again.size() != size || std::memcmp(again.data(), bytes.get(), size) != 0) std::abort();
    } catch (const std::invalid_argument&) {
        return 0;
    }
    return 0;
}
