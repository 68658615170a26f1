// Real and complex vectors as integer polynomials, in the two packings.
#pragma once

#include <complex>
#include <cstddef>
#include <span>
#include <vector>

#include "ckks/parameters.hpp"

namespace strongroom::ckks {

// An encoded vector; its scale is the caller's to remember.
struct Plaintext {
    ring::Polynomial polynomial;
};

// Coefficient i is round(values[i] scale), halves away from zero. The polynomial is over the first
// `limbs` data primes and, where extended, the special primes. Throws std::invalid_argument if
// there are more values than coefficients, a value is not finite, or one reaches half of the
// modulus of `limbs` primes.
Plaintext encode_coefficients(const Parameters& parameters, std::span<const double> values,
                              double scale, std::size_t limbs,
                              ring::Form form = ring::Form::kCoefficients,
                              ring::Extent extent = ring::Extent::kData);

// Add round(values[i] scale) to coefficient positions[i] of a polynomial in coefficient form, with
// the same checks.
void add_rounded(ring::Polynomial& polynomial, std::span<const std::uint32_t> positions,
                 std::span<const double> values, double scale);

// The inverse of the canonical embedding on N/2 slots (Cheon, Kim, Kim, Song 2017, section 3.2):
// slot j is the value at zeta^(5^j), zeta = exp(i pi / N). Missing values are zero. Coefficient j
// is the real part, coefficient N/2 + j the imaginary part of what the kernel's butterflies give at
// j.
Plaintext encode_slots(const Parameters& parameters, std::span<const std::complex<double>> values,
                       double scale, std::size_t limbs, ring::Form form = ring::Form::kCoefficients,
                       ring::Extent extent = ring::Extent::kData);
Plaintext encode_slots(const Parameters& parameters, std::span<const double> values, double scale,
                       std::size_t limbs, ring::Form form = ring::Form::kCoefficients,
                       ring::Extent extent = ring::Extent::kData);

// All N coefficients, centred, divided by the scale. Special primes do not count.
std::vector<double> decode_coefficients(const Parameters& parameters, const Plaintext& plaintext,
                                        double scale);

// All N/2 slots.
std::vector<std::complex<double>> decode_slots(const Parameters& parameters,
                                               const Plaintext& plaintext, double scale);

// Centred coefficients at some positions only, divided by the scale; in constant time.
std::vector<double> centred(const ring::Polynomial& polynomial,
                            std::span<const std::uint32_t> positions, double scale);

}  // namespace strongroom::ckks
