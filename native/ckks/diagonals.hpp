// Plaintext diagonals of a linear map, kept in the order in which they are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "ckks/encoding.hpp"

namespace strongroom::ckks {

// Plaintexts in values form over data and special primes. A map of hundreds of them is read once an
// evaluation, from memory: so words lie row by row of a prime, in each slice by slice of a vector,
// and in each of those plaintext by plaintext, one stream of words.
//
// Of words that repeat one is kept. Slots that repeat r times over, r a power of two, are a
// polynomial in X^r: its value at zeta^(2 i + 1) depends on 2 i + 1 modulo 2 N / r only, and in
// bit-reversed order those lie in runs of r equal words.
class Diagonals {
  public:
    // For those places that are `present`; their slots repeat 2^log_run times. Throws
    // std::invalid_argument if none is, or for more repetitions than there are slots.
    Diagonals(const Parameters& parameters, std::size_t limbs, std::vector<bool> present,
              unsigned log_run);

    // Once for each place that is present: what is complete never changes. Throws
    // std::invalid_argument for another place, or a plaintext of another ring, form or extent, with
    // fewer limbs, or without the repetitions.
    void set(std::size_t place, const Plaintext& plaintext);

    const ring::RingPointer& ring_pointer() const { return ring_; }
    std::size_t limbs() const { return limbs_; }
    const std::vector<bool>& present() const { return present_; }
    // Whether all that are present are set.
    bool complete() const { return missing_ == 0; }
    // log2 of how many words of a row each kept word stands for.
    unsigned log_run() const { return log_run_; }

    // How many words of a row a slice has.
    std::size_t slice() const;
    // How many of them are kept of each plaintext.
    std::size_t kept() const;
    // The kept words of slice `number` of the first plaintext that is present; those of the others
    // follow. By the prime's number in the ring: a data prime below `limbs()`, or a special one.
    const std::uint64_t* words(std::size_t prime, std::size_t number) const;

    std::size_t bytes() const;

  private:
    std::size_t row_of(std::size_t prime) const {
        return prime < limbs_ ? prime : prime - ring_->limbs() + limbs_;
    }

    ring::RingPointer ring_;
    std::size_t limbs_;
    std::vector<bool> present_;
    unsigned log_run_;
    std::size_t count_, missing_;
    std::vector<std::size_t> rank_;  // of a place among those that are present
    std::vector<bool> set_;
    std::vector<ring::Words> rows_;
};

}  // namespace strongroom::ckks
