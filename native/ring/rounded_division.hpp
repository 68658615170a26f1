// Division by the last primes of a chain, for whoever has polynomials row by row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "ring/ring.hpp"

namespace strongroom::ring {

// Divides `count` polynomials by the product D of their dropped primes and rounds: with r the
// centred remainder of x modulo D, (x - r) / D is the integer nearest to x / D. First every dropped
// row is taken, then `prepare` is called, and then rows that stay can be finished once, in any
// order, by any thread.
class RoundedDivision {
  public:
    // From `limbs` data primes and, where `special`, all special primes to the first `kept` data
    // primes. There must be such a conversion (Ring::converts).
    RoundedDivision(RingPointer ring, std::size_t count, std::size_t limbs, bool special,
                    std::size_t kept, Form form);

    std::size_t dropped() const { return dropped_; }

    // Add N small coefficients to polynomial p, before any of its rows is taken.
    void add_small(std::size_t p, std::span<const std::int32_t> small);

    // The row of polynomial p for the k-th prime that is dropped: data primes, then special ones.
    void take_row(std::size_t p, std::size_t k, const std::uint64_t* row);
    void prepare();

    // Row i of quotient p, x being that row of polynomial p; then the automorphism, if there is one
    // (and values form).
    void finish_row(std::size_t p, std::size_t i, const std::uint64_t* x,
                    const Automorphism* automorphism);

    // The quotients, when all rows are finished.
    std::vector<Polynomial> results() && { return std::move(results_); }

  private:
    std::uint64_t* digits(std::size_t p, std::size_t k) {
        return digits_.data() + (p * dropped_ + k) * stride_;
    }

    RingPointer ring_;
    const BaseConversion& conversion_;
    std::size_t count_, limbs_, kept_, dropped_, stride_;
    Form form_;
    bool row_by_row_;
    std::vector<Secret<std::int64_t>> small_;  // empty, or N for a polynomial
    Words digits_;  // of the remainders, for each polynomial and dropped prime
    // Hold the remainders first, unless those are made row by row.
    std::vector<Polynomial> results_;
};

}  // namespace strongroom::ring
