// Switching keys: decomposition into digits, products with a key, division by the special primes.
#pragma once

#include <array>
#include <functional>
#include <span>
#include <vector>

#include "ckks/encryption.hpp"
#include "ckks/switching_keys.hpp"

namespace strongroom::ckks {

// A polynomial in digits: digit d is the centred remainder modulo the product of the digit's
// primes, extended to all other primes. Made once, it serves any number of keys (hoisting: Halevi,
// Shoup, "Faster homomorphic linear transformations in HElib", CRYPTO 2018).
class Decomposition {
  public:
    // x is in values form and must outlive this.
    Decomposition(const Parameters& parameters, const ring::Polynomial& x);

    std::size_t limbs() const { return x_.limbs(); }
    std::size_t digits() const { return digits_.size(); }
    std::size_t rows() const { return rows_; }

    // Bring one row of every digit into values form: once, before that row is used. The constructor
    // leaves it to whoever can go on with the row while it is in the cache.
    void transform_row(std::size_t row);
    void transform_all();

    // One row of the sums of digit_d b_d and of digit_d a_d, of N words each; in rows of data
    // primes, P times plus_b and plus_a are added where they are given.
    void multiply_row(const SwitchingKey& key, std::size_t row, std::uint64_t* out_b,
                      std::uint64_t* out_a, const std::uint64_t* plus_b = nullptr,
                      const std::uint64_t* plus_a = nullptr) const;

  private:
    struct Digit {
        std::size_t begin = 0, end = 0;  // its primes, whose rows are those of x
        ring::Words extended;            // all other rows
    };

    std::size_t rows_of(const Digit& digit) const { return rows_ - (digit.end - digit.begin); }
    std::uint64_t* extended_row(Digit& digit, std::size_t row) const {
        const std::size_t i = row < digit.begin ? row : row - (digit.end - digit.begin);
        return digit.extended.data() + i * x_.ring().row_words();
    }

    const ring::Polynomial& x_;
    std::size_t rows_;
    std::vector<Digit> digits_;
};

// A ciphertext over data and special primes, times P: what comes out of a key before the division.
struct ExtendedCiphertext {
    ring::Polynomial c0, c1;

    static ExtendedCiphertext unset(const Parameters& parameters, std::size_t limbs);
};

// Rows that are added, times P, to the products of one row of data primes with a key; nullptr for
// nothing. `room_b` and `room_a` have N words for whoever makes them on the spot.
struct AddedRows {
    const std::uint64_t* b = nullptr;
    const std::uint64_t* a = nullptr;
};
using AddRows =
    std::function<AddedRows(std::size_t row, std::uint64_t* room_b, std::uint64_t* room_a)>;

// The whole of a key switch: products with the key, plus added rows, divided by the special primes
// and the last `drop` data primes, and then the key's automorphism, if it has one. Rows of the
// decomposition are transformed on the way unless they `are_values` already.
Ciphertext switch_key(Decomposition& decomposition, const SwitchingKey& key, const AddRows& added,
                      std::size_t drop, bool are_values);

// Divide by the special primes and the last `drop` data primes.
Ciphertext finish(const ExtendedCiphertext& extended, std::size_t drop);

// Throws std::invalid_argument if a key is of another ring or has fewer limbs.
void require_key(const SwitchingKey& key, const ring::RingPointer& ring, std::size_t limbs);

}  // namespace strongroom::ckks
