// The canonical embedding of R[X]/(X^N + 1) restricted to the powers of five.
#pragma once

#include <complex>
#include <vector>

namespace strongroom::ckks {

using Complex = std::complex<double>;

// Both in place on N/2 values. Coefficient j of the polynomial is the real part of value j,
// coefficient N/2 + j its imaginary part. The butterflies are those of the FFT over the orbit of
// five (Chen, Han, "Homomorphic lower digits removal and improved FHE bootstrapping", 2018).
void coefficients_to_slots(std::vector<Complex>& values);
void slots_to_coefficients(std::vector<Complex>& values);

}  // namespace strongroom::ckks
