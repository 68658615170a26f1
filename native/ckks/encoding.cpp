#include "ckks/encoding.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "ckks/embedding.hpp"

namespace strongroom::ckks {

using ring::Form;
using ring::Modulus;
using ring::Polynomial;

namespace {

double log2_of_chain(const Polynomial& polynomial) {
    double sum = 0;
    for (std::size_t i = 0; i < polynomial.limbs(); ++i) {
        sum += std::log2(static_cast<double>(polynomial.ring().modulus(i).value));
    }
    return sum;
}

// round(x) for any double is m 2^e with m of 53 bits, so its residues are exact whatever its size.
void add_integer(Polynomial& out, std::size_t position, double x) {
    const double magnitude = std::round(std::fabs(x));
    int exponent = 0;
    const double fraction = std::frexp(magnitude, &exponent);
    const bool wide = exponent > 53;
    const auto mantissa = static_cast<std::uint64_t>(wide ? std::ldexp(fraction, 53) : magnitude);
    const unsigned shift = wide ? static_cast<unsigned>(exponent - 53) : 0;
    for (std::size_t i = 0; i < out.limbs(); ++i) {
        const Modulus& m = out.ring().modulus(i);
        std::uint64_t residue = ring::reduce_any(mantissa, m);
        if (shift != 0) residue = ring::multiply_mod(residue, ring::power_mod(2, shift, m), m);
        const std::uint64_t negative = ring::reduce_once(m.value - residue, m.value);
        const std::uint64_t mask = 0 - static_cast<std::uint64_t>(std::signbit(x));
        std::uint64_t& word = out.row(i)[position];
        word = ring::add_mod(word, (residue & ~mask) | (negative & mask), m);
    }
}

void require_room(const Polynomial& polynomial, std::span<const double> values, double scale) {
    if (!(scale > 0 && std::isfinite(scale))) throw std::invalid_argument("no scale to encode at");
    double largest = 0;
    for (const double value : values) {
        if (!std::isfinite(value)) throw std::invalid_argument("a value to encode is not finite");
        largest = std::max(largest, std::fabs(value) * scale);
    }
    if (!std::isfinite(largest) ||
        (largest >= 1.0 && std::log2(largest) >= log2_of_chain(polynomial) - 1.0)) {
        throw std::invalid_argument("a value to encode reaches half of the modulus");
    }
}

// Mixed-radix digits of residues r_i (Garner), from the last prime up:
// x = d_(n-1) + d_(n-2) q_(n-1) + d_(n-3) q_(n-2) q_(n-1) + ...
struct MixedRadix {
    const ring::Ring& ring;
    std::vector<double> weight;       // of digit i: q_(i+1) ... q_(n-1)
    std::vector<std::uint64_t> half;  // digits of floor(Q / 2)

    MixedRadix(const ring::Ring& its_ring, std::size_t limbs)
        : ring(its_ring), weight(limbs), half(limbs) {
        double product = 1.0;
        for (std::size_t i = limbs; i-- > 0;) {
            const std::uint64_t q = ring.modulus(i).value;
            // Finite beyond a double's exponent too: its digit is zero there, and 0 inf is not.
            weight[i] = std::min(product, std::numeric_limits<double>::max());
            product *= static_cast<double>(q);
            // For odd Q, floor(Q / 2) = (Q - 1) / 2 = -1/2 modulo every prime.
            half[i] = q - (q + 1) / 2;
        }
        digits(half.data());
    }

    // In place, residues to digits.
    void digits(std::uint64_t* r) const {
        const std::size_t n = weight.size();
        for (std::size_t i = n; i-- > 0;) {
            const Modulus& m = ring.modulus(i);
            for (std::size_t j = n; j-- > i + 1;) {
                const std::uint64_t difference =
                    ring::subtract_mod(r[i], ring::reduce_word(r[j], m), m);
                r[i] = ring::multiply_mod(difference, ring.inverse(j, i).value, m);
            }
        }
    }

    // The centred value of some residues. It is digits of x or of Q - x, whichever is below Q/2;
    // both are computed and one is selected by mask.
    double operator()(const std::uint64_t* residues, std::uint64_t* x, std::uint64_t* y) const {
        const std::size_t n = weight.size();
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint64_t q = ring.modulus(i).value;
            x[i] = residues[i];
            y[i] = ring::reduce_once(q - residues[i], q);
        }
        digits(x);
        digits(y);
        std::uint64_t greater = 0;
        std::uint64_t equal = 1;
        for (std::size_t i = 0; i < n; ++i) {
            greater |= equal & static_cast<std::uint64_t>(x[i] > half[i]);
            equal &= static_cast<std::uint64_t>(x[i] == half[i]);
        }
        const std::uint64_t mask = 0 - greater;
        double sum = 0;
        for (std::size_t i = 0; i < n; ++i) {
            sum += static_cast<double>((x[i] & ~mask) | (y[i] & mask)) * weight[i];
        }
        return sum * (1.0 - 2.0 * static_cast<double>(greater));
    }
};

}  // namespace

Plaintext encode_coefficients(const Parameters& parameters, std::span<const double> values,
                              double scale, std::size_t limbs) {
    if (values.size() > parameters.ring_degree()) {
        throw std::invalid_argument("more values than coefficients");
    }
    Plaintext result{Polynomial(parameters.ring(), limbs, Form::kCoefficients)};
    require_room(result.polynomial, values, scale);
    for (std::size_t i = 0; i < values.size(); ++i) {
        add_integer(result.polynomial, i, values[i] * scale);
    }
    return result;
}

void add_rounded(Polynomial& polynomial, std::span<const std::uint32_t> positions,
                 std::span<const double> values, double scale) {
    if (positions.size() != values.size() || polynomial.form() != Form::kCoefficients) {
        throw std::invalid_argument("values are added to as many coefficients");
    }
    require_room(polynomial, values, scale);
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (positions[i] >= polynomial.degree()) throw std::invalid_argument("no such coefficient");
        add_integer(polynomial, positions[i], values[i] * scale);
    }
}

Plaintext encode_slots(const Parameters& parameters, std::span<const std::complex<double>> values,
                       double scale, std::size_t limbs) {
    const std::size_t slots = parameters.ring_degree() / 2;
    if (values.size() > slots) throw std::invalid_argument("more values than slots");
    std::vector<Complex> buffer(values.begin(), values.end());
    buffer.resize(slots);
    slots_to_coefficients(buffer);
    std::vector<double> coefficients(2 * slots);
    for (std::size_t i = 0; i < slots; ++i) {
        coefficients[i] = buffer[i].real();
        coefficients[slots + i] = buffer[i].imag();
    }
    return encode_coefficients(parameters, coefficients, scale, limbs);
}

std::vector<double> centred(const Polynomial& polynomial, std::span<const std::uint32_t> positions,
                            double scale) {
    if (polynomial.form() != Form::kCoefficients) {
        throw std::invalid_argument("only coefficients can be centred");
    }
    const std::size_t limbs = polynomial.limbs();
    const MixedRadix mixed(polynomial.ring(), limbs);
    std::vector<std::uint64_t> residues(3 * limbs);
    std::vector<double> result;
    result.reserve(positions.size());
    for (const std::uint32_t position : positions) {
        if (position >= polynomial.degree()) throw std::invalid_argument("no such coefficient");
        for (std::size_t i = 0; i < limbs; ++i) residues[i] = polynomial.row(i)[position];
        result.push_back(
            mixed(residues.data(), residues.data() + limbs, residues.data() + 2 * limbs) / scale);
    }
    ring::wipe(residues.data(), residues.size() * sizeof(std::uint64_t));
    return result;
}

std::vector<double> decode_coefficients(const Parameters& parameters, Plaintext plaintext,
                                        double scale) {
    plaintext.polynomial.to_coefficients();
    std::vector<std::uint32_t> all(parameters.ring_degree());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint32_t>(i);
    return centred(plaintext.polynomial, all, scale);
}

std::vector<std::complex<double>> decode_slots(const Parameters& parameters, Plaintext plaintext,
                                               double scale) {
    const std::vector<double> coefficients =
        decode_coefficients(parameters, std::move(plaintext), scale);
    const std::size_t slots = parameters.ring_degree() / 2;
    std::vector<Complex> values(slots);
    for (std::size_t i = 0; i < slots; ++i) values[i] = {coefficients[i], coefficients[slots + i]};
    coefficients_to_slots(values);
    return values;
}

}  // namespace strongroom::ckks
