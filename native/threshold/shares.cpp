#include "threshold/shares.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "threshold/polynomial_bytes.hpp"

namespace strongroom::threshold {

using ring::Form;
using ring::Polynomial;

namespace {

constexpr std::uint64_t kLargestError = 29;  // the sampler has no larger one

}  // namespace

std::size_t digits_of(const ckks::Parameters& parameters, std::size_t limbs) {
    const ring::Ring& ring = *parameters.ring();
    return ckks::SwitchingKey::size(parameters, limbs) /
           (2 * (limbs + ring.special_limbs()) * ring.row_words());
}

std::size_t packed_share_bytes(const ckks::Parameters& parameters, std::size_t limbs,
                               std::size_t polynomials) {
    return polynomials *
           packed_bytes(*parameters.ring(), limbs, ckks::public_key_extent(parameters));
}

std::vector<std::uint8_t> pack_share(const Share& share) {
    std::vector<std::uint8_t> bytes;
    if (share.empty()) return bytes;
    const Polynomial& first = share[0];
    bytes.reserve(share.size() * packed_bytes(first.ring(), first.limbs(), first.extent()));
    for (const Polynomial& polynomial : share) append_packed(bytes, polynomial);
    return bytes;
}

std::variant<Share, ShareFault> sum_of_shares(
    const ckks::Parameters& parameters, std::size_t limbs, std::size_t polynomials,
    std::span<const std::span<const std::uint8_t>> shares) {
    if (shares.empty()) throw std::invalid_argument("no shares to add up");
    const std::size_t length = packed_share_bytes(parameters, limbs, polynomials);
    for (std::size_t i = 0; i < shares.size(); ++i) {
        if (shares[i].size() != length) return ShareFault{i, ring::UnpackFault::kLength};
    }
    const std::size_t size = length / std::max<std::size_t>(polynomials, 1);
    const auto unset = [&] {
        return Polynomial::unset(parameters.ring(), limbs, Form::kValues,
                                 ckks::public_key_extent(parameters));
    };
    Share sum(polynomials);
    Polynomial next = unset();
    for (std::size_t k = 0; k < polynomials; ++k) {
        sum[k] = unset();
        for (std::size_t i = 0; i < shares.size(); ++i) {
            const auto fault =
                unpack_into(i == 0 ? sum[k] : next, shares[i].subspan(k * size, size));
            if (fault) return ShareFault{i, *fault};
            if (i != 0) sum[k].add(next);
        }
    }
    return sum;
}

Share public_key_share(const ckks::Parameters& parameters, const KeyPart& part,
                       const ring::Seed& seed, std::size_t limbs) {
    Share share;
    share.push_back(ckks::make_public_key(parameters, part.values(), limbs, seed).b);
    return share;
}

bool is_public_key_share_of(const ckks::Parameters& parameters, const KeyPart& part,
                            const ring::Seed& seed, const Share& share) {
    if (share.size() != 1 || part.values().ring_pointer() != parameters.ring()) {
        throw std::invalid_argument("a share or part for something else");
    }
    Polynomial error = ckks::restore_public_key(parameters, seed, share[0]).a;
    error.multiply(part.values());
    error.add(share[0]);
    error.to_coefficients();
    // The residue, shifted to be positive, must be small and the same modulo every prime.
    const std::uint64_t first = error.modulus(0).value;
    std::uint64_t different = 0;
    for (std::size_t row = 0; row < error.rows(); ++row) {
        const std::uint64_t q = error.modulus(row).value;
        for (std::size_t i = 0; i < error.degree(); ++i) {
            const std::uint64_t centred = ring::reduce_once(error.row(row)[i] + kLargestError, q);
            different |= centred ^ ring::reduce_once(error.row(0)[i] + kLargestError, first);
            different |= static_cast<std::uint64_t>(centred > 2 * kLargestError);
        }
    }
    error.wipe_all();
    return different == 0;
}

ckks::SwitchingKey galois_key_share(const ckks::Parameters& parameters, const KeyPart& part,
                                    const ring::Seed& seed, std::uint64_t element,
                                    std::size_t limbs) {
    if (element == ckks::kRelinearisation) {
        throw std::invalid_argument("the key for products takes two rounds");
    }
    return ckks::SwitchingKey::generate(parameters, part.values(), element, limbs, seed);
}

ckks::PublicKey collective_public_key(const ckks::Parameters& parameters, const ring::Seed& seed,
                                      Share sum) {
    return ckks::restore_public_key(parameters, seed, std::move(sum.at(0)));
}

ckks::SwitchingKey collective_galois_key(const ckks::Parameters& parameters, const ring::Seed& seed,
                                         std::uint64_t element, const Share& sum) {
    const std::size_t limbs = sum.at(0).limbs();
    const std::size_t rows = sum[0].rows();
    const std::size_t row_words = parameters.ring()->row_words();
    ring::Words words(ckks::SwitchingKey::size(parameters, limbs), 0);
    for (std::size_t digit = 0; digit < sum.size(); ++digit) {
        for (std::size_t row = 0; row < rows; ++row) {
            std::copy_n(sum[digit].row(row), sum[digit].degree(),
                        words.data() + (2 * digit * rows + row) * row_words);
        }
    }
    return ckks::SwitchingKey::restore(parameters, element, limbs, seed, std::move(words));
}

}  // namespace strongroom::threshold
