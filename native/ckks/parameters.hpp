// Parameters of CKKS, behind the security table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ring/ring.hpp"

namespace strongroom::ckks {

// Largest log2(QP) for a ring degree, uniform ternary secrets and errors of sigma 3.2, from table
// 5.2 of Bossuat et al., "Security Guidelines for Implementing Homomorphic Encryption", IACR CiC
// 1(4), 2024 (eprint 2024/463). `security` is "classical-128" or "quantum-128". Returns 0 for a
// ring degree that the table does not have; throws std::invalid_argument for another security.
unsigned largest_log_modulus(std::string_view security, std::size_t ring_degree);

// What was asked for: a plain literal that becomes validated `Parameters`.
struct ParametersLiteral {
    std::size_t ring_degree = 0;
    std::vector<std::uint64_t> primes;          // data primes, the first one is the last to go
    std::vector<std::uint64_t> special_primes;  // for key switching; may be empty
    std::string security;
};

struct InsecureParameters : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

// Validated and immutable: nobody checks again after this.
class Parameters {
  public:
    // Throws InsecureParameters if log2 of the product of all primes exceeds the table, and
    // std::invalid_argument if the literal makes no sense (a degree that is no power of two, a
    // modulus that is no prime of the right form, a prime twice, special primes whose product is
    // below a data prime).
    explicit Parameters(const ParametersLiteral& literal, std::string_view kernel = {});

    // The same without the security table, for small rings in tests. Only the testing module,
    // which no wheel contains, links to it.
    static Parameters without_security(const ParametersLiteral& literal,
                                       std::string_view kernel = {});

    std::size_t ring_degree() const { return ring_->degree(); }
    std::size_t limbs() const { return ring_->limbs(); }
    double log_modulus() const { return log_modulus_; }
    // All primes in one ring: the data primes, then the special ones.
    const ring::RingPointer& ring() const { return ring_; }
    // The data primes in groups, the digits of key switching: digit d has the primes from
    // digit_ends()[d - 1] (or 0) to digit_ends()[d], whose product is at most that of the special
    // primes, and which a ring::BaseConversion takes at once. Empty without special primes.
    const std::vector<std::size_t>& digit_ends() const { return digit_ends_; }

  private:
    Parameters(const ParametersLiteral& literal, std::string_view kernel, bool checked);

    ring::RingPointer ring_;
    std::vector<std::size_t> digit_ends_;
    double log_modulus_;
};

}  // namespace strongroom::ckks
