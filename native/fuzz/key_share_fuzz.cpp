// Bytes of parts, of shares of keys, and of keys with both halves: whatever they are, nothing is
// read beyond their end; what is accepted has all words below their primes and packs to the same
// bytes again.
//
// Input: what the bytes are (one byte modulo 3), limbs (one byte modulo 5; 0 and 4 are not in the
// chain), how many polynomials a share has (one byte modulo 4), the bytes.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <variant>

#include "threshold/relinearisation.hpp"

using namespace strongroom;

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

void require_same(const std::vector<std::uint8_t>& again, std::span<const std::uint8_t> bytes) {
    require(again.size() == bytes.size());
    require(again.empty() || std::memcmp(again.data(), bytes.data(), bytes.size()) == 0);
}

void require_residues(const ring::Polynomial& polynomial) {
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        for (std::size_t i = 0; i < polynomial.degree(); ++i) {
            require(polynomial.row(row)[i] < polynomial.modulus(row).value);
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const ckks::Parameters parameters =
        ckks::Parameters::without_security({16, {97, 193, 257}, {353}, ""});
    constexpr std::size_t kHead = 3;
    if (size < kHead) return 0;
    const std::size_t limbs = data[1] % 5u;
    const std::size_t polynomials = data[2] % 4u;
    // A copy of exactly this length: reading beyond it is seen.
    const std::unique_ptr<std::uint8_t[]> copy(new std::uint8_t[size - kHead]);
    const std::span<const std::uint8_t> bytes(copy.get(), size - kHead);
    std::memcpy(copy.get(), data + kHead, size - kHead);
    const bool possible = limbs >= 1 && limbs <= 3;
    try {
        if (data[0] % 3 == 0) {
            const auto part = threshold::KeyPart::from_bytes(parameters, bytes);
            require_residues(part.values());
            require_same(part.to_bytes(), bytes);
        } else if (data[0] % 3 == 1) {
            const auto sum =
                threshold::sum_of_shares(parameters, limbs, polynomials, std::span(&bytes, 1));
            require(possible);
            if (std::holds_alternative<threshold::ShareFault>(sum)) return 0;
            const auto& share = std::get<threshold::Share>(sum);
            for (const ring::Polynomial& polynomial : share) require_residues(polynomial);
            require_same(threshold::pack_share(share), bytes);
        } else {
            const auto words = threshold::unpack_both_halves(parameters, limbs, bytes);
            require(possible);
            if (std::holds_alternative<ring::UnpackFault>(words)) return 0;
            const ckks::SwitchingKey key(parameters, ckks::kRelinearisation, limbs,
                                         std::get<ring::Words>(words));
            require_same(threshold::pack_both_halves(key), bytes);
        }
    } catch (const std::invalid_argument&) {
        require(data[0] % 3 == 0 || !possible);
    }
    return 0;
}
