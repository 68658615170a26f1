// Bytes of parts, of shares of keys, and of answers in proofs of shares: whatever they are, nothing
// is read beyond their end; parts and shares that are accepted have all words below their primes
// and pack to the same bytes again, and answers that are accepted have a commitment.
//
// Input: what the bytes are (one byte modulo 3), limbs (one byte modulo 5; 0 and 4 are not in the
// chain), how many polynomials a share has (one byte modulo 4), the bytes.
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <variant>

#include "threshold/relinearisation.hpp"
#include "threshold/share_proof.hpp"

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

// A share of a part that is zero, of a result that is whatever it is.
struct Claim {
    explicit Claim(const ckks::Parameters& parameters)
        : relation(parameters, threshold::public_polynomials(parameters, kSeeds, 3),
                   zero(parameters, 2), {0, 5}, 2, 29, 5) {
        for (ring::Polynomial& sample : samples) {
            sample = ring::Polynomial(parameters.ring(), 3, ring::Form::kValues);
        }
    }

    static ring::Polynomial zero(const ckks::Parameters& parameters, std::size_t limbs) {
        return {parameters.ring(), limbs, ring::Form::kCoefficients};
    }

    static constexpr std::array<ring::Seed, 2> kSeeds = {};
    threshold::ShareRelation relation;
    threshold::Samples samples;
    std::vector<std::uint64_t> share = std::vector<std::uint64_t>(4, 0);
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const ckks::Parameters parameters =
        ckks::Parameters::without_security({16, {97, 193, 257}, {353}, ""});
    static const Claim claim(parameters);
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
            const auto commitment = claim.relation.commitment(bytes, claim.samples, claim.share);
            require(!commitment || commitment->size() == 2 * 3 * 16 + claim.share.size());
        }
    } catch (const std::invalid_argument&) {
        require(data[0] % 3 == 0 || (data[0] % 3 == 1 && !possible));
    }
    return 0;
}
