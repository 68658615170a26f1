// Plaintext diagonals of linear maps, kept as small as they are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ckks/encoding.hpp"

namespace strongroom::ckks {

// A plaintext in values form over data and special primes, of which words that repeat are kept
// once. Slots that repeat r times over, r a power of two, are a polynomial in X^r: its value at
// zeta^(2 i + 1) depends on 2 i + 1 modulo 2 N / r only, and in bit-reversed order those lie in
// runs of r equal words.
class Diagonal {
  public:
    // Throws std::invalid_argument for a plaintext in another form or extent.
    explicit Diagonal(const Plaintext& plaintext);

    const ring::RingPointer& ring_pointer() const { return ring_; }
    std::size_t limbs() const { return limbs_; }
    // log2 of how many words of a row each kept word stands for.
    unsigned log_run() const { return log_run_; }
    // By the prime's number in the ring: a data prime below `limbs()`, or a special one.
    const std::uint64_t* row(std::size_t prime) const {
        const std::size_t i = prime < limbs_ ? prime : prime - ring_->limbs() + limbs_;
        return words_.data() + i * stride();
    }
    std::size_t bytes() const { return words_.size() * sizeof(std::uint64_t); }

  private:
    std::size_t stride() const {
        return (ring_->degree() >> log_run_) + (ring_->row_words() - ring_->degree());
    }

    ring::RingPointer ring_;
    std::size_t limbs_;
    unsigned log_run_;
    ring::Words words_;
};

}  // namespace strongroom::ckks
