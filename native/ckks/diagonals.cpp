#include "ckks/diagonals.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace strongroom::ckks {

using ring::Polynomial;

namespace {

bool has_runs(const std::uint64_t* row, std::size_t n, std::size_t run) {
    for (std::size_t i = 0; i < n; i += run) {
        const auto differs = [first = row[i]](std::uint64_t word) { return word != first; };
        if (std::any_of(row + i + 1, row + i + run, differs)) return false;
    }
    return true;
}

// log2 of the longest runs that all rows have.
unsigned log_run_of(const Polynomial& polynomial) {
    const std::size_t n = polynomial.degree();
    unsigned log_run = static_cast<unsigned>(std::countr_zero(n));
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        while (!has_runs(polynomial.row(row), n, std::size_t{1} << log_run)) --log_run;
    }
    return log_run;
}

}  // namespace

Diagonal::Diagonal(const Plaintext& plaintext)
    : ring_(plaintext.polynomial.ring_pointer()),
      limbs_(plaintext.polynomial.limbs()),
      log_run_(0) {
    const Polynomial& polynomial = plaintext.polynomial;
    if (polynomial.form() != ring::Form::kValues ||
        polynomial.extent() != ring::Extent::kWithSpecial) {
        throw std::invalid_argument("a diagonal has values over data and special primes");
    }
    log_run_ = log_run_of(polynomial);
    words_.resize(polynomial.rows() * stride());
    for (std::size_t row = 0; row < polynomial.rows(); ++row) {
        const std::uint64_t* from = polynomial.row(row);
        std::uint64_t* to = words_.data() + row * stride();
        for (std::size_t i = 0; i < ring_->degree() >> log_run_; ++i) to[i] = from[i << log_run_];
    }
}

}  // namespace strongroom::ckks
