// The collective key for products, in two rounds (RelinKeyGen of Mouchet, Troncoso-Pastoriza,
// Bossuat, Hubaux, "Multiparty homomorphic encryption from ring-learning-with-errors", PoPETs 2021,
// eprint 2020/304).
#pragma once

#include <cstdint>
#include <utility>

#include "threshold/shares.hpp"

namespace strongroom::threshold {

// With parts r_j of s, ephemeral secrets u_j of sum u, and for each digit the public a and the
// factor P g of the key (ckks/switching_keys.hpp), the first round's shares and their sums are
//     h0_j = -u_j a + P g r_j + e0_j         h0 = -u a + P g s + e0
//     h1_j = r_j a + e1_j                    h1 = s a + e1
// and those of the second
//     r_j h0 + (u_j - r_j) h1 + e2_j + e3_j,
// which add up to b with b + h1 s = P g s^2 + (s e0 + u e1 + e2 + e3). The key is (b, h1).
//
// A share of the first round is, for each digit, h0_j and then h1_j; one of the second has one
// polynomial for each digit. (The protocol's second round has two, of which only the sum is used.)
class RelinearisationRound {
  public:
    // Draws u_j and makes the first share.
    static std::pair<RelinearisationRound, Share> begin(const ckks::Parameters& parameters,
                                                        const KeyPart& part, const ring::Seed& seed,
                                                        std::size_t limbs);

    // The second share. Whoever may choose the sum of the first round learns r_j from it, so it
    // must be the caller's own sum of shares that were fixed before any was shown. Once only:
    // afterwards there is no u_j, and std::logic_error is thrown. Throws std::invalid_argument for
    // a sum that is not this round's in number or primes; u_j stays then.
    Share finish(const KeyPart& part, const Share& sum);

    RelinearisationRound(RelinearisationRound&&) = default;
    RelinearisationRound& operator=(RelinearisationRound&&) = delete;
    ~RelinearisationRound() { ephemeral_.wipe_all(); }

  private:
    RelinearisationRound(ring::Polynomial ephemeral, std::size_t digits)
        : ephemeral_(std::move(ephemeral)), digits_(digits) {}

    ring::Polynomial ephemeral_;
    std::size_t digits_;  // 0 when it is finished
};

// Words of the key (ckks::SwitchingKey), from the sums of both rounds. Throws std::invalid_argument
// if they are not of the same primes and digits.
ring::Words collective_relinearisation_key(const ckks::Parameters& parameters, const Share& first,
                                           const Share& second);

}  // namespace strongroom::threshold
