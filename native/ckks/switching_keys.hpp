// Keys that a server computes with: for products (relinearisation) and for rotations. Public: they
// are encryptions.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "ckks/keys.hpp"
#include "ring/automorphism.hpp"

namespace strongroom::ckks {

// What a key is for: 0 turns s^2 into s; any other number is a Galois element g, for X -> X^g.
inline constexpr std::uint64_t kRelinearisation = 0;

// Digit d of the key is (b_d, a_d) over the first `limbs` data primes and all special primes, with
//     b_d + a_d s' = P g_d t + e_d,
// P the product of the special primes and g_d = 1 modulo the digit's primes, 0 modulo the other
// data primes (Han, Ki, "Better bootstrapping for approximate homomorphic encryption", CT-RSA
// 2020). For a product, t = s^2 and s' = s. For an automorphism, t = s and s' is the inverse
// automorphism of s: it is applied after the switch, so that one decomposition into digits serves
// many rotations.
//
// Its words may lie in a file that is mapped into memory; they are ready to use there. For each
// digit, b_d and then a_d, each row after row (data primes, then special ones): N words in values
// form and padding of zeros (Ring::row_words).
class SwitchingKey {
  public:
    // A fresh key. Throws std::invalid_argument for parameters without special primes, or an
    // element that is even (but for 0), 1, or not below 2N.
    static SwitchingKey generate(const Parameters& parameters, const SecretKey& secret,
                                 std::uint64_t element, std::size_t limbs);

    // The same for halves a_d that the caller names, and a secret of any residues in values form
    // over the whole chain: a member's share of a key that several make. A seed is used once for a
    // secret.
    static SwitchingKey generate(const Parameters& parameters, const ring::Polynomial& secret,
                                 std::uint64_t element, std::size_t limbs, const ring::Seed& seed);

    // A key from what travelled: the seed of all a_d, and the b_d, `words` laid out as above but
    // for the halves a_d, which are set here.
    static SwitchingKey restore(const Parameters& parameters, std::uint64_t element,
                                std::size_t limbs, const ring::Seed& seed, ring::Words words);

    // A key whose words are somebody else's: they must stay as long as this does. Nothing in them
    // is checked; wrong words give wrong results and nothing worse.
    SwitchingKey(const Parameters& parameters, std::uint64_t element, std::size_t limbs,
                 std::span<const std::uint64_t> words);

    // Words of such a key.
    static std::size_t size(const Parameters& parameters, std::size_t limbs);

    std::uint64_t element() const { return element_; }
    std::size_t limbs() const { return limbs_; }
    std::size_t digits() const { return digits_; }
    // Of keys that were generated or restored; a mapped key has none.
    const std::optional<ring::Seed>& seed() const { return seed_; }
    const ring::RingPointer& ring() const { return ring_; }
    const ring::Automorphism* automorphism() const {
        return automorphism_ ? &*automorphism_ : nullptr;
    }
    std::span<const std::uint64_t> words() const { return words_; }

    // Row `row` of b_d or a_d, of limbs() + special rows.
    const std::uint64_t* b(std::size_t digit, std::size_t row) const { return at(2 * digit, row); }
    const std::uint64_t* a(std::size_t digit, std::size_t row) const {
        return at(2 * digit + 1, row);
    }

  private:
    const std::uint64_t* at(std::size_t half, std::size_t row) const {
        return words_.data() + (half * rows_ + row) * ring_->row_words();
    }

    ring::RingPointer ring_;
    std::uint64_t element_ = kRelinearisation;
    std::size_t limbs_ = 0, rows_ = 0, digits_ = 0;
    std::optional<ring::Automorphism> automorphism_;
    std::optional<ring::Seed> seed_;
    std::shared_ptr<const ring::Words> owned_;
    std::span<const std::uint64_t> words_;
};

}  // namespace strongroom::ckks
